"""Hair: what hangs behind the head and what lies on it.

Lengths in head units. A style is the hairline from the picture's left to its
right, the thickness over the skull, and how far hair hangs at the back.
"""

import dataclasses

import numpy as np

from data_pipelines.corpus.canvas import circle, closed_curve, open_curve
from data_pipelines.corpus.identity import mix


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


def draw_back_hair(canvas, head, person):
  """Everything that the head hides in part."""
  style = STYLES[person.hair_style]
  dark = mix(person.hair, (0, 0, 0), 0.35)
  wide = person.width + 0.5 * style.thick
  if style.bun:
    bun_K2 = circle() * [0.36, 0.32] + [0.05 * person.side, 1.3]
    canvas.fill(closed_curve(head.rim(bun_K2, -0.4)), dark)
  if style.behind is None:
    return
  low = style.behind
  rows = [(0.5, 0.9), (0.95, 0.5), (1.08, 0.0), (1.1, 0.45 * low)]
  right = [(wide * x, y) for x, y in rows]
  right += [(wide * 1.08, low), (wide * 0.6, low - 0.1)]
  shape_K2 = np.array(right + [(-x, y) for x, y in right[::-1]])
  if style.curls:
    _draw_curls(canvas, head, shape_K2[1:-1], dark, 0.28, -0.35)
  canvas.fill(closed_curve(head.rim(shape_K2, -0.35)), dark)


def draw_front_hair(canvas, head, person):
  """The cap of hair over the skull, down to the hairline, and side locks."""
  style = STYLES[person.hair_style]
  angle = np.linspace(-0.08, np.pi + 0.08, 11)
  lift = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.85
  over_K2 = np.stack(
    [
      (person.width + 0.35 * style.thick + 0.03) * np.cos(angle),
      (1.04 + style.thick) * lift + 0.03,
    ],
    axis=1,
  )
  line_K2 = np.array(style.hairline) * [person.side * person.width / 0.79, 1]
  line_K2 = line_K2[:: person.side]
  over_P2 = open_curve(head.rim(over_K2))
  line_P2 = open_curve(head.face(line_K2, 0.04))
  if style.curls:
    _draw_curls(canvas, head, over_K2, person.hair, 0.75 * style.thick, 0.0)
  cap_P2 = np.concatenate([over_P2, line_P2])
  shadow = tuple(0.5 * c for c in person.skin)
  low_P2 = line_P2 - [0, 0.06 * head.scale]
  w = person.width + 0.15
  sides_P2 = head.rim(np.array([(-w, -0.5), (w, -0.5)]))
  # A turn can carry the hairline past the edge of the head.
  canvas.clip(np.concatenate([over_P2, sides_P2]))
  canvas.fill(np.concatenate([over_P2, low_P2]), (*shadow, 0.25))
  canvas.fill(cap_P2, (*person.hair, style.alpha))
  _draw_shine(canvas, head, person, style)
  canvas.unclip()
  if not style.curls and style.alpha == 1:
    _draw_strands(canvas, head.scale, person, over_P2, line_P2)
  if style.locks is not None:
    _draw_locks(canvas, head, person, style)


def _draw_shine(canvas, head, person, style):
  """Light on top; dark at the sides, where it also shades the face."""
  bright = mix(person.hair, (1, 1, 1), 0.4)
  lean = 0.35 * person.light[0]
  shine_K2 = circle(8) * [0.55, 0.14] + [lean, 0.86 + 0.3 * style.thick]
  canvas.glow(closed_curve(head.rim(shine_K2, 0.3)), bright, 0.3)
  dark = mix(person.hair, (0, 0, 0), 0.6)
  sides_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1)
  edges = circle(8) * [0.2, 0.7] + sides_211 * [person.width + 0.05, 0]
  edges = closed_curve(head.rim(edges + [0, 0.4]))
  canvas.glow(edges, dark, 0.3, 2)


def _draw_strands(canvas, unit, person, over_P2, line_P2):
  """A few combed lines between the hairline and the top."""
  share_M = np.linspace(0.2, 0.8, 8)
  from_M2 = line_P2[np.rint(share_M * (len(line_P2) - 1)).astype(int)]
  to_M2 = over_P2[::-1][np.rint(share_M * (len(over_P2) - 1)).astype(int)]
  t_3 = np.array([0.06, 0.45, 0.85])[:, None]
  lines = from_M2[:, None] + t_3 * (to_M2 - from_M2)[:, None]
  bend = 0.08 * unit * np.array([[0.0, 0], [-1, 0.5], [0, 0]])
  lines = open_curve(lines + person.side * bend)
  dark, bright = (mix(person.hair, (c, c, c), 0.5) for c in (0, 1))
  canvas.stroke(lines[::2], 0.03 * unit, (*dark, 0.35))
  canvas.stroke(lines[1::2], 0.03 * unit, (*bright, 0.22))


def _draw_locks(canvas, head, person, style):
  """Hair in front of the ears, beside the cheeks."""
  w, low = person.width, style.locks
  lock = [
    (w + 0.02, 0.55),
    (w + 0.14, 0.2),
    (w + 0.16, 0.4 * low),
    (w + 0.08, low),
    (w - 0.06, 0.85 * low),
    (w - 0.03, 0.3 * low),
    (w - 0.14, 0.32),
  ]
  sides_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1)
  locks = np.array(lock) * np.concatenate([sides_211, sides_211**2], axis=-1)
  colour = mix(person.hair, (0, 0, 0), 0.12)
  canvas.fill(closed_curve(head.rim(locks, 0.1)), colour)


def _draw_curls(canvas, head, line_K2, colour, radius, depth):
  """Round locks along a line."""
  centres_M12 = open_curve(np.asarray(line_K2))[::3, None]
  size_M11 = 0.9 + 0.25 * np.sin(2.4 * np.arange(len(centres_M12)))
  size_M11 = radius * size_M11[:, None, None]
  locks = closed_curve(head.rim(circle(8) * size_M11 + centres_M12, depth))
  canvas.fill(locks, colour)
