"""The nose, and freckles about it.

Dimension key: P polygon points.
"""

import numpy as np

from data_pipelines.corpus.canvas import (
  between,
  circle,
  closed_curve,
  open_curve,
)
from data_pipelines.corpus.geometry import Rigid, lift
from data_pipelines.corpus.identity import mix

_MIRROR_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1) * [1, 0] + [0, 1]


class Nose:
  """Bridge, tip, wings and nostrils of one person."""

  def __init__(self, person):
    self._freckled = person.freckles
    self._dark = tuple(0.6 * c for c in person.skin)
    self._glow = mix(person.skin, (1, 1, 1), 0.45)
    self._spot = tuple(0.72 * c for c in person.skin)
    self._hole = mix(self._dark, (0.12, 0.07, 0.07), 0.6)
    self._rigid = Rigid(_shapes(person), {})

  def draw(self, canvas, head):
    """Paints the nose onto a face."""
    shapes = self._rigid.place(head)
    if self._freckled:
      canvas.fill(shapes["freckles"], (*self._spot, 0.6))
    canvas.glow(shapes["wall"], self._dark, 0.5, 2)
    canvas.glow(shapes["under"], self._dark, 0.5, 2)
    canvas.glow(shapes["tip"], self._glow, 0.55, 2)
    canvas.fill(shapes["line"], (*self._glow, 0.2))
    canvas.stroke(shapes["wings"], 0.025 * head.scale, (*self._dark, 0.7))
    canvas.fill(shapes["holes"], (*self._hole, 0.85))


def _shapes(person):
  w, y = person.nose_width, person.nose_level
  away = -1 if person.light[0] > 0 else 1
  ridge = np.array([(0.1, 0.16), (0.07, -0.05), (0.06, y + 0.06)])
  wall = np.array([(0.19, 0.12), (0.17, -0.08), (w * 1.02, y)])
  wing = np.array([(0.8 * w, 0.05), (1.05 * w, -0.01), (0.85 * w, -0.06)])
  hole = circle(8) * [0.042, 0.026] + [0.5 * w, y - 0.055]
  rng = np.random.default_rng(person.bokeh)
  freckles_M12 = rng.uniform([-0.55, -0.3], [0.55, -0.05], (14, 1, 2))
  disc = circle(8)
  return {
    "wall": closed_curve(
      between(
        lift(ridge * [away, 1], [0.04, 0.16, 0.2]),
        lift(wall * [away, 1], [0.0, 0.02, 0.05]),
      )
    ),
    "under": closed_curve(
      lift(disc * [1.15 * w, 0.075] + [0, y - 0.085], 0.06)
    ),
    "tip": closed_curve(lift(disc * [0.085, 0.07] + [0, y + 0.05], 0.2)),
    "line": closed_curve(lift(disc * [0.035, 0.17] + [0, 0.02], 0.12)),
    "wings": open_curve(lift((wing + [0, y]) * _MIRROR_211, [0.1, 0.06, 0.08])),
    "holes": closed_curve(lift(hole * _MIRROR_211, 0.12)),
    "freckles": closed_curve(lift(disc * 0.02 + freckles_M12)),
  }
