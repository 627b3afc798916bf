"""The head without its features: skin with light on it, ears, neck.

Dimension key: K control points, P polygon points, V mesh corners.
"""

import functools

import numpy as np

from data_pipelines.corpus.canvas import circle, closed_curve
from data_pipelines.corpus.geometry import lift

_RINGS = np.array([0.0, 0.22, 0.38, 0.52, 0.68, 0.85, 1.0])
_SPOKES = 24


def outline(person, jaw_drop=0.0):
  """Rim of the face, [24 2], anticlockwise from its right side."""
  angle = 2 * np.pi * np.arange(_SPOKES) / _SPOKES
  x, y = np.cos(angle), np.sin(angle)
  below = np.clip(-y, 0, 1)
  narrow = 1 - (1 - person.jaw) * np.sin(np.pi * below / 2) ** 2
  square = 1 + 0.25 * person.chin * below * np.abs(x)
  rim_K2 = np.stack([person.width * x * narrow * square, 1.04 * y], 1)
  rim_K2[:, 1] -= 0.1 * jaw_drop * below**2
  return rim_K2


def _rim_depth(rim_K2):
  """The chin is further forward than the temples."""
  return 0.38 * np.clip(-rim_K2[:, 1], 0, 1) ** 2


def face_outline(head, person, jaw_drop=0.0):
  """The face's rim in pixels, [P 2]."""
  rim_K2 = outline(person, jaw_drop)
  return closed_curve(head.rim(rim_K2, _rim_depth(rim_K2)))


@functools.cache
def _triangles():
  """Corner indices of a disc of rings and spokes, [N 3]."""
  faces = []
  for ring in range(len(_RINGS) - 1):
    for spoke in range(_SPOKES):
      a = ring * _SPOKES + spoke
      b = ring * _SPOKES + (spoke + 1) % _SPOKES
      c, d = a + _SPOKES, b + _SPOKES
      faces.append((a, c, d))
      if ring:
        faces.append((a, d, b))
  return np.array(faces)


def draw_face(canvas, head, person, jaw_drop, blush):
  """Lit skin: a mesh of the head's front, clipped to its outline."""
  rim_K2 = outline(person, jaw_drop)
  outline_P2 = closed_curve(head.rim(rim_K2, _rim_depth(rim_K2)))
  canvas.fill(outline_P2, tuple(0.8 * c for c in person.skin))
  flat_V2 = (_RINGS[:, None, None] * rim_K2).reshape(-1, 2)
  rim_V = np.repeat(_RINGS**4, _SPOKES)
  solid_V3 = lift(flat_V2)
  solid_V3[:, 2] = (1 - rim_V) * solid_V3[:, 2] + rim_V * np.tile(
    _rim_depth(rim_K2), len(_RINGS)
  )
  wide_V3 = solid_V3 * np.stack(
    [1 + rim_V * (head.widen - 1), np.ones_like(rim_V), np.ones_like(rim_V)],
    axis=1,
  )
  pixels_V2 = head.place(wide_V3)
  colour_V3 = _light(head, person, flat_V2, solid_V3, blush)
  canvas.clip(outline_P2)
  corners = _triangles()
  canvas.mesh(pixels_V2[corners], colour_V3[corners])
  canvas.unclip()


def _patches(flat_V2, middle, size):
  """Two mirrored soft spots of the given half widths, 1 in the middle."""
  away_2V2 = (np.abs(flat_V2) * [1, 0] + flat_V2 * [0, 1] - middle) / size
  return np.exp(-(away_2V2**2).sum(axis=-1))


def _beard(flat_V2, person):
  """Where a short beard grows: jaw and chin, not the mouth."""
  jaw_V = np.clip((-0.22 - flat_V2[:, 1]) / 0.2, 0, 1)
  wide_V = np.clip((np.abs(flat_V2[:, 0]) - 0.3) / 0.15, 0, 1)
  low_V = np.clip((-0.68 - flat_V2[:, 1]) / 0.15, 0, 1)
  lip_V = _patches(flat_V2, (0.1, person.mouth_level + 0.16), (0.25, 0.08))
  return jaw_V * np.maximum(np.maximum(wide_V, low_V), 0.8 * lip_V)


def _light(head, person, flat_V2, solid_V3, blush):
  """Colours of the mesh: light by direction, eye sockets, cheeks, beard."""
  normal_V3 = solid_V3 / np.array([0.88, 1.2, 0.72]) ** 2
  normal_V3 = normal_V3 / np.linalg.norm(normal_V3, axis=1, keepdims=True)
  toward_V = normal_V3 @ (head.rotation_33.T @ np.array(person.light))
  shade_V = 0.7 + 0.36 * np.clip(toward_V, -0.3, 1)
  shade_V -= 0.1 * np.clip(-flat_V2[:, 1] - 0.72, 0, 1)
  skin_3 = np.array(person.skin)
  layers = (
    (np.clip((0.98 - shade_V) / 0.45, 0, 1), skin_3 * [0.66, 0.52, 0.5]),
    (0.5 * np.clip((shade_V - 0.98) / 0.22, 0, 1), 0.45 * skin_3 + 0.55),
    (
      blush * _patches(flat_V2, (0.46, -0.22), (0.24, 0.2)),
      skin_3 * [1.0, 0.74, 0.72],
    ),
    (
      0.7 * _patches(flat_V2, (person.eye_gap, 0.13), (0.25, 0.16)),
      skin_3 * [0.55, 0.47, 0.47],
    ),
    (person.beard * _beard(flat_V2, person), 0.8 * np.array(person.hair)),
  )
  colour_V3 = skin_3
  for share_V, layer_3 in layers:
    colour_V3 = colour_V3 + share_V[:, None] * (layer_3 - colour_V3)
  return colour_V3.clip(0, 1)


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
  canvas.glow(closed_curve(head.place(shadow_K3)), dark, 0.7, 4)
  canvas.unclip()
