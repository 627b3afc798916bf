"""Ears and neck.

Dimension key: K control points.
"""

import numpy as np

from data_pipelines.corpus.canvas import circle, closed_curve


def draw_ears(canvas, head, person):
  """Both ears; the face drawn later hides what a turn hides."""
  sides_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1)
  middle = sides_211 * [person.width + 0.03, 0] + [0, -0.02]
  ears = closed_curve(head.rim(circle() * [0.13, 0.22] + middle, -0.12))
  canvas.fill(ears, tuple(0.84 * c for c in person.skin))
  centre = ears.mean(axis=1, keepdims=True)
  canvas.fill(
    centre + 0.6 * (ears - centre), tuple(0.68 * c for c in person.skin)
  )
  if person.earrings:
    rings = head.rim(circle(8) * 0.05 + middle - [0, 0.27], -0.1)
    canvas.fill(closed_curve(rings), (0.95, 0.85, 0.5))


def draw_neck(canvas, head, body, person):
  """Neck between a turning head and a body that hardly moves."""
  w = 0.62 * person.width
  top_K3 = np.array([[-w, -0.5, -0.2], [w, -0.5, -0.2]])
  low_K3 = np.array([[w * 1.1, -1.4, -0.2], [-w * 1.1, -1.4, -0.2]])
  corners_K2 = np.concatenate([head.place(top_K3), body.place(low_K3)])
  canvas.fill(corners_K2, tuple(0.83 * c for c in person.skin))
  dark = tuple(0.55 * c for c in person.skin)
  shadow_K3 = np.column_stack(
    [circle(8) * [1.25 * w, 0.3] + [0, -1.0], np.full(8, -0.1)]
  )
  canvas.clip(corners_K2)
  canvas.glow(closed_curve(head.place(shadow_K3)), dark, 0.7)
  canvas.unclip()
