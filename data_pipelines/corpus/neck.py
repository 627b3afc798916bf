"""Neck and ears, and glasses that rest on them.

Dimension key: P polygon points.
"""

import numpy as np

from data_pipelines.corpus.canvas import circle, closed_curve, open_curve
from data_pipelines.corpus.geometry import Rigid, lift, solid

_SIDES_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1)


class Neck:
  """What joins a turning head to a body that does not move."""

  def __init__(self, person, body):
    w = 0.62 * person.width
    shade = circle(8) * [1.25 * w, 0.3] + [0, -1.0]
    shapes = {
      "top": solid([(-w, -0.5), (w, -0.5)], -0.2),
      "shade": closed_curve(solid(shade, -0.1)),
    }
    self._rigid = Rigid(shapes, {})
    foot = [(1.1 * w, -1.4), (-1.1 * w, -1.4)]
    self._foot_P2 = body.place(solid(foot, -0.2))
    self._skin = tuple(0.83 * c for c in person.skin)
    self._dark = tuple(0.55 * c for c in person.skin)

  def draw(self, canvas, head):
    """Paints the neck with the head's shadow on it."""
    shapes = self._rigid.place(head)
    outline_P2 = np.concatenate([shapes["top"], self._foot_P2])
    canvas.fill(outline_P2, self._skin)
    canvas.clip(outline_P2)
    canvas.glow(shapes["shade"], self._dark, 0.7)
    canvas.unclip()


class Ears:
  """Both ears with or without rings; the face hides what a turn hides."""

  def __init__(self, person):
    middle = _SIDES_211 * [person.width + 0.03, 0] + [0, -0.02]
    disc = circle()
    shapes = {
      "ears": closed_curve(solid(disc * [0.13, 0.22] + middle, -0.12)),
      "inner": closed_curve(solid(disc * [0.08, 0.13] + middle, -0.12)),
      "rings": closed_curve(solid(disc * 0.05 + middle - [0, 0.27], -0.1)),
    }
    self._rigid = Rigid({}, shapes)
    self._ringed = person.earrings
    self._skin = tuple(0.84 * c for c in person.skin)
    self._dark = tuple(0.68 * c for c in person.skin)

  def draw(self, canvas, head):
    """Paints the ears, before the face."""
    shapes = self._rigid.place(head)
    canvas.fill(shapes["ears"], self._skin)
    canvas.fill(shapes["inner"], self._dark)
    if self._ringed:
      canvas.fill(shapes["rings"], (0.95, 0.85, 0.5))


class Glasses:
  """Thin round frames."""

  _FRAME = (0.3, 0.22, 0.2, 0.75)

  def __init__(self, person):
    y = person.eye_level - 0.01
    middle = _SIDES_211 * [person.eye_gap, 0] + [0, y]
    rims = closed_curve(lift(circle() * [0.29, 0.25] + middle, 0.12))
    arms = np.array([(0.63, y + 0.05), (0.82, y + 0.08)])
    bridge = [(-0.09, y + 0.03), (0, y + 0.07), (0.09, y + 0.03)]
    shapes = {
      "rims": np.concatenate([rims, rims[:, :1]], axis=1),
      "arms": lift(arms * (_SIDES_211 * [1, 0] + [0, 1]), 0.05),
      "bridge": open_curve(lift(bridge, 0.16)),
    }
    self._rigid = Rigid(shapes, {})

  def draw(self, canvas, head):
    """Paints the glasses, after everything else."""
    shapes = self._rigid.place(head)
    canvas.fill(shapes["rims"], (1, 1, 1, 0.06))
    for line in shapes.values():
      canvas.stroke(line, 0.028 * head.scale, self._FRAME)
