"""Hair: what hangs behind the head and what lies on it.

Lengths in head units. A style is the hairline from the picture's left to its
right, the thickness over the skull, and how far hair hangs at the back.
"""

import dataclasses

import numpy as np

from data_pipelines.corpus.canvas import circle, closed_curve, open_curve
from data_pipelines.corpus.geometry import Rigid, lift, solid
from data_pipelines.corpus.identity import mix

_SIDES_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1)


@dataclasses.dataclass(frozen=True)
class Style:
  """Hairline points (x, y), thickness on top, how low it hangs and curls.

  `locks` is how low the hair beside the face hangs in front of the ears.
  """

  hairline: tuple[tuple[float, float], ...]
  thick: float
  behind: float | None = None
  locks: float | None = None
  curls: bool = False
  bun: bool = False
  alpha: float = 1.0


def _even(*half):
  """A symmetric hairline from its left half, which ends in the middle."""
  return half + tuple((-x, y) for x, y in half[-2::-1])


_ROUND = _even((-0.8, -0.1), (-0.7, 0.2), (-0.58, 0.48), (-0.3, 0.66), (0, 0.7))
_HIGH = _even(
  (-0.79, 0.1), (-0.66, 0.36), (-0.5, 0.62), (-0.25, 0.74), (0, 0.76)
)
_BANGS = _even((-0.78, 0), (-0.66, 0.34), (-0.4, 0.5), (-0.2, 0.46), (0, 0.52))
_CURTAIN = _even(
  (-0.78, 0.0), (-0.68, 0.3), (-0.42, 0.6), (-0.1, 0.78), (0, 0.84)
)
_PARTED = (
  (-0.79, -0.05),
  (-0.66, 0.3),
  (-0.5, 0.56),
  (-0.3, 0.74),
  (0.1, 0.52),
  (0.45, 0.42),
  (0.68, 0.26),
  (0.79, -0.05),
)
_SWEPT = (
  (-0.8, -0.1),
  (-0.68, 0.24),
  (-0.56, 0.46),
  (-0.2, 0.52),
  (0.2, 0.58),
  (0.45, 0.7),
  (0.64, 0.42),
  (0.8, -0.1),
)
STYLES = {
  "short": Style(_ROUND, 0.17),
  "side_part": Style(_PARTED, 0.2),
  "swept": Style(_SWEPT, 0.27),
  "buzz": Style(_HIGH, 0.06, alpha=0.9),
  "bangs": Style(_BANGS, 0.19, behind=-0.8, locks=-0.55),
  "bob": Style(_PARTED, 0.2, behind=-1.0, locks=-0.85),
  "long": Style(_CURTAIN, 0.19, behind=-1.8, locks=-1.5),
  "curly": Style(_ROUND, 0.22, behind=-0.7, curls=True),
  "afro": Style(_HIGH, 0.4, behind=-0.2, curls=True),
  "bun": Style(_HIGH, 0.13, bun=True),
}


def _curls(line_K2, radius, depth):
  """Round locks along a line."""
  centres_M12 = open_curve(np.asarray(line_K2))[::3, None]
  size_M11 = 0.9 + 0.25 * np.sin(2.4 * np.arange(len(centres_M12)))
  size_M11 = radius * size_M11[:, None, None]
  return closed_curve(solid(circle(8) * size_M11 + centres_M12, depth))


def _back_shapes(person, style):
  shapes = {}
  if style.bun:
    bun_K2 = circle() * [0.36, 0.32] + [0.05 * person.side, 1.3]
    shapes["bun"] = closed_curve(solid(bun_K2, -0.4))
  if style.behind is not None:
    wide, low = person.width + 0.5 * style.thick, style.behind
    rows = [(0.5, 0.9), (0.95, 0.5), (1.08, 0.0), (1.1, 0.45 * low)]
    right = [(wide * x, y) for x, y in rows]
    right += [(wide * 1.08, low), (wide * 0.6, low - 0.1)]
    fall_K2 = np.array(right + [(-x, y) for x, y in right[::-1]])
    shapes["fall"] = closed_curve(solid(fall_K2, -0.35))
    if style.curls:
      shapes["curls"] = _curls(fall_K2[1:-1], 0.28, -0.35)
  return shapes


def _lock_shape(w, low):
  """Hair in front of the ears, beside the cheeks."""
  lock_K2 = np.array(
    [
      (w + 0.02, 0.55),
      (w + 0.14, 0.2),
      (w + 0.16, 0.4 * low),
      (w + 0.08, low),
      (w - 0.06, 0.85 * low),
      (w - 0.03, 0.3 * low),
      (w - 0.14, 0.32),
    ]
  )
  return closed_curve(solid(lock_K2 * (_SIDES_211 * [1, 0] + [0, 1]), 0.1))


def _front_shapes(person, style):
  """On the face: the hairline. On the rim: everything else."""
  w, thick = person.width, style.thick
  angle = np.linspace(-0.08, np.pi + 0.08, 11)
  sine = np.sin(angle)
  rise = np.sign(sine) * np.abs(sine) ** 0.85
  over_K2 = np.stack(
    [(w + 0.35 * thick + 0.03) * np.cos(angle), (1.04 + thick) * rise + 0.03],
    axis=1,
  )
  line_K2 = np.array(style.hairline) * [person.side * w / 0.79, 1]
  lean = 0.35 * person.light[0]
  shine_K2 = circle(8) * [0.55, 0.14] + [lean, 0.86 + 0.3 * thick]
  edges = circle(8) * [0.2, 0.7] + _SIDES_211 * [w + 0.05, 0] + [0, 0.4]
  shapes = {
    "over": open_curve(solid(over_K2, 0.0)),
    "sides": solid([(-w - 0.15, -0.5), (w + 0.15, -0.5)], 0.0),
    "shine": closed_curve(solid(shine_K2, 0.3)),
    "edges": closed_curve(solid(edges, 0.0)),
  }
  if style.curls:
    shapes["curls"] = _curls(over_K2, 0.75 * thick, 0.0)
  if style.locks is not None:
    shapes["locks"] = _lock_shape(w, style.locks)
  return {"line": open_curve(lift(line_K2[:: person.side], 0.04))}, shapes


class Hair:
  """The hair of one person."""

  def __init__(self, person):
    style = STYLES[person.hair_style]
    back = _back_shapes(person, style)
    self._back = Rigid({}, back) if back else None
    self._front = Rigid(*_front_shapes(person, style))
    self._alpha, self._side = style.alpha, person.side
    self._combed = not style.curls and style.alpha == 1
    self._colour, self._shadow = (
      person.hair,
      tuple(0.5 * c for c in person.skin),
    )

  def _shade(self, grey, share):
    return mix(self._colour, (grey, grey, grey), share)

  def draw_back(self, canvas, head):
    """Everything that the head hides in part."""
    if self._back:
      for shape in self._back.place(head).values():
        canvas.fill(shape, self._shade(0, 0.35))

  def draw_front(self, canvas, head):
    """The cap of hair over the skull, down to the hairline, and side locks."""
    shapes = self._front.place(head)
    over_P2, line_P2 = shapes["over"], shapes["line"]
    if "curls" in shapes:
      canvas.fill(shapes["curls"], self._colour)
    low_P2 = line_P2 - [0, 0.06 * head.scale]
    # A turn can carry the hairline past the edge of the head.
    canvas.clip(np.concatenate([over_P2, shapes["sides"]]))
    canvas.fill(np.concatenate([over_P2, low_P2]), (*self._shadow, 0.25))
    cap_P2 = np.concatenate([over_P2, line_P2])
    canvas.fill(cap_P2, (*self._colour, self._alpha))
    canvas.glow(shapes["shine"], self._shade(1, 0.4), 0.3)
    # Dark at the sides, where it also shades the face.
    canvas.glow(shapes["edges"], self._shade(0, 0.6), 0.3, 2)
    canvas.unclip()
    if self._combed:
      self._draw_strands(canvas, head.scale, over_P2, line_P2)
    if "locks" in shapes:
      canvas.fill(shapes["locks"], self._shade(0, 0.12))

  def _draw_strands(self, canvas, unit, over_P2, line_P2):
    """A few combed lines between the hairline and the top."""
    share_M = np.linspace(0.2, 0.8, 8)
    from_M2 = line_P2[np.rint(share_M * (len(line_P2) - 1)).astype(int)]
    to_M2 = over_P2[::-1][np.rint(share_M * (len(over_P2) - 1)).astype(int)]
    t_3 = np.array([0.06, 0.45, 0.85])[:, None]
    lines = from_M2[:, None] + t_3 * (to_M2 - from_M2)[:, None]
    bend = 0.08 * unit * np.array([[0.0, 0], [-1, 0.5], [0, 0]])
    lines = open_curve(lines + self._side * bend)
    canvas.stroke(lines[::2], 0.03 * unit, (*self._shade(0, 0.5), 0.35))
    canvas.stroke(lines[1::2], 0.03 * unit, (*self._shade(1, 0.5), 0.22))
