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
  """Hairline points (x, y) on the forehead, thickness, length behind."""

  hairline: tuple[tuple[float, float], ...]
  thick: float
  behind: float | None = None
  curls: bool = False
  bun: bool = False
  alpha: float = 1.0


_ROUND = ((-0.66, 0.3), (-0.45, 0.6), (0, 0.7), (0.45, 0.6), (0.66, 0.3))
_PARTED = ((-0.7, 0.2), (-0.5, 0.52), (-0.2, 0.76), (0.3, 0.55), (0.7, 0.15))
_SWEPT = ((-0.66, 0.3), (-0.42, 0.52), (0.05, 0.56), (0.42, 0.72), (0.66, 0.3))
_BANGS = ((-0.7, 0.15), (-0.5, 0.46), (0, 0.5), (0.5, 0.46), (0.7, 0.15))
_CURTAIN = ((-0.74, -0.1), (-0.52, 0.46), (0, 0.8), (0.52, 0.46), (0.74, -0.1))
STYLES = {
  "short": Style(_ROUND, 0.14),
  "side_part": Style(_PARTED, 0.18),
  "swept": Style(_SWEPT, 0.24),
  "buzz": Style(_ROUND, 0.05, alpha=0.85),
  "bangs": Style(_BANGS, 0.17, behind=-0.75),
  "bob": Style(_PARTED, 0.17, behind=-0.95),
  "long": Style(_CURTAIN, 0.16, behind=-1.75),
  "curly": Style(_ROUND, 0.2, behind=-0.6, curls=True),
  "afro": Style(_ROUND, 0.42, behind=-0.15, curls=True),
  "bun": Style(_ROUND, 0.1, bun=True),
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
  """The cap of hair over the skull, down to the hairline."""
  style = STYLES[person.hair_style]
  angle = np.linspace(0.02, np.pi - 0.02, 9)
  over_K2 = np.stack(
    [
      (person.width + 0.35 * style.thick + 0.02) * np.cos(angle),
      (1.04 + style.thick) * np.sin(angle) ** 0.8 + 0.05,
    ],
    axis=1,
  )
  line_K2 = np.array(style.hairline) * [person.side, 1]
  line_K2 = line_K2[:: person.side]
  over_P2 = open_curve(head.rim(over_K2))
  line_P2 = open_curve(head.face(line_K2, 0.04))
  if style.curls:
    _draw_curls(canvas, head, over_K2, person.hair, 0.75 * style.thick, 0.0)
  cap_P2 = np.concatenate([over_P2, line_P2])
  shadow = tuple(0.5 * c for c in person.skin)
  low_P2 = line_P2 - [0, 0.05 * head.scale]
  canvas.fill(np.concatenate([over_P2, low_P2]), (*shadow, 0.22))
  canvas.fill(cap_P2, (*person.hair, style.alpha))
  _draw_shine(canvas, head, person, style, cap_P2)


def _draw_shine(canvas, head, person, style, cap_P2):
  bright = mix(person.hair, (1, 1, 1), 0.4)
  lean = 0.35 * person.light[0]
  shine_K2 = circle() * [0.55, 0.14] + [lean, 0.86 + 0.3 * style.thick]
  canvas.clip(cap_P2)
  canvas.glow(closed_curve(head.rim(shine_K2, 0.3)), bright, 0.35, 6)
  dark = mix(person.hair, (0, 0, 0), 0.6)
  for side in (-1, 1):
    edge_K2 = circle() * [0.2, 0.7] + [side * (person.width + 0.05), 0.4]
    canvas.glow(closed_curve(head.rim(edge_K2)), dark, 0.4, 4)
  canvas.unclip()


def _draw_curls(canvas, head, line_K2, colour, radius, depth):
  """Round locks along a line."""
  centres_K2 = open_curve(np.asarray(line_K2))[::3]
  for i, centre in enumerate(centres_K2):
    size = radius * (0.9 + 0.25 * np.sin(2.4 * i))
    lock_K2 = circle(8) * size + centre
    canvas.fill(closed_curve(head.rim(lock_K2, depth)), colour)
