"""Eyes, brows and mouth: what an expression moves.

Each function draws one feature on a canvas; sizes are in head units, pen
widths in pixels of a face whose unit is `head.scale` pixels. What comes in
pairs is drawn as one shape of two outlines, which halves the work.
"""

import dataclasses

import numpy as np

from data_pipelines.corpus.canvas import (
  between,
  circle,
  closed_curve,
  open_curve,
)
from data_pipelines.corpus.identity import mix
from eartalk_jax.controls.known import TRACKS

_DARK = (0.12, 0.07, 0.07)
_SIDES = np.array([-1.0, 1.0])[:, None]
_OPEN, _WIDE, _ROUND = TRACKS["mouth"].full
_LOOK_2 = np.array(TRACKS["gaze"].full)


@dataclasses.dataclass(frozen=True)
class Expression:
  """What an emotion does to a face; 0 is neutral, lids is a factor."""

  brow_inner: float
  brow_outer: float
  lids: float
  squint: float
  smile: float


# One row per emotion of `motion.EMOTIONS`.
_EXPRESSIONS_E5 = np.array(
  [
    (0.0, 0.0, 1.0, 0.0, 0.02),
    (0.04, 0.05, 0.95, 0.5, 0.13),
    (0.13, -0.08, 0.78, 0.0, -0.12),
    (-0.115, 0.09, 0.84, 0.3, -0.07),
    (0.15, 0.16, 1.3, 0.0, 0.0),
  ]
)


def blend_expression(weights_E):
  """The face of a mixture of emotions."""
  return Expression(*(weights_E @ _EXPRESSIONS_E5))


def _pair(x_K, y_K):
  """Mirrors a line: [2 K 2], the picture's left first."""
  y_2K = np.broadcast_to(y_K, (2, len(x_K)))
  return np.stack([_SIDES * x_K, y_2K], axis=-1)


def draw_eyes(canvas, head, person, face, blink, gaze_2):
  """Both eyes: blink 0 open, 1 shut; gaze as in the tracks."""
  w, up = person.eye_width, person.eye_height * face.lids
  low = 0.62 * person.eye_height * (1 - 0.45 * face.squint)
  x = np.array([-1.0, -0.55, 0.0, 0.55, 1.0])
  tilt = person.eye_tilt + 0.1 * (face.brow_outer - face.brow_inner)
  middle = person.eye_level + tilt * x
  upper = np.array([-0.02, 0.78, 1.0, 0.78, -0.02]) * up
  lower = -np.array([0.02, 0.62, 1.0, 0.7, 0.02]) * low
  lid = (1 - blink) * upper + blink * (0.85 * lower)
  heights = (1.12 * upper + 0.035, lid, lower)
  crease, lid, lower = (
    open_curve(head.face(_pair(person.eye_gap + w * x, middle + y)))
    for y in heights
  )
  unit = head.scale
  opening = between(lid, lower)
  shade = tuple(0.55 * c for c in person.skin)
  # A white that stands out from deep skin hides eyes from detectors.
  tint = 0.1 + 0.35 * (1 - max(person.skin))
  canvas.fill(opening, mix((0.97, 0.96, 0.95), person.skin, tint))
  if blink < 0.97:
    canvas.clip(opening)
    _draw_irises(canvas, head, person, gaze_2)
    canvas.fill(between(lid, lid - [0, 0.055 * unit]), (*_DARK, 0.3))
    canvas.unclip()
  lid_skin = tuple(0.84 * c for c in person.skin)
  canvas.fill(between(crease, lid), lid_skin)
  canvas.stroke(lower, 0.02 * unit, (*shade, 0.8))
  canvas.stroke(lid, 0.055 * unit, (*_DARK, 0.95))


def _draw_irises(canvas, head, person, gaze_2):
  radius = 0.95 * person.eye_height
  middle = _SIDES * [person.eye_gap, 0] + [0, person.eye_level]
  shift = gaze_2 * (_LOOK_2 * [person.eye_width, radius])
  disc = closed_curve(head.face(circle() * radius + (middle + shift)[:, None]))
  centre = disc.mean(axis=1, keepdims=True)
  spark = head.scale * radius * np.array([-0.3, 0.38])
  canvas.fill(disc, mix(person.iris, (0, 0, 0), 0.45))
  canvas.fill(centre + 0.85 * (disc - centre), person.iris)
  canvas.fill(centre + 0.5 * (disc - centre), (0.05, 0.04, 0.05))
  canvas.fill(centre + spark + 0.25 * (disc - centre), (1, 1, 1, 0.92))


def draw_brows(canvas, head, person, face):
  """Both eyebrows, moved by the expression."""
  t = np.linspace(0, 1, 5)
  x = person.eye_gap - 0.21 + 0.46 * t
  arch = 0.05 * np.sin(np.pi * t**1.2) - 0.03 * t
  y = person.eye_level + person.brow_level + arch
  y = y + face.brow_inner * (1 - t) + face.brow_outer * t
  thick = person.brow_weight * np.array([0.75, 1.0, 0.95, 0.7, 0.2])
  top = open_curve(head.face(_pair(x, y + thick), 0.04))
  low = open_curve(head.face(_pair(x, y - thick), 0.04))
  colour = mix(person.hair, (0.16, 0.1, 0.08), 0.55)
  canvas.fill(between(top, low), (*colour, 0.95))


def draw_mouth(canvas, head, person, face, mouth_3):
  """Lips and what is between them for a shape (open, width, round)."""
  opening, width, rounding = mouth_3
  w = person.mouth_width * (0.84 + _WIDE * width - _ROUND * rounding)
  w *= 1 + 0.7 * max(face.smile, 0)
  gap = _OPEN * opening
  x = np.array([-1.0, -0.72, -0.38, 0.0, 0.38, 0.72, 1.0])
  bow = person.lip_fullness * (1 + 0.35 * rounding)
  hold = face.smile * (np.abs(x) ** 1.6 - 0.35)
  round_K = np.array([0.0, 0.62, 0.92, 1.0, 0.92, 0.62, 0.0])
  seam = 0.012 * np.array([0, 0.6, 1.0, -0.4, 1.0, 0.6, 0]) + hold
  top = seam + 0.3 * gap * round_K - 0.15 * gap
  low = seam - 0.7 * gap * round_K - 0.15 * gap
  over = top + bow * np.array([0.08, 0.62, 1.08, 0.86, 1.08, 0.62, 0.08])
  thick = np.array([0.06, 0.6, 0.95, 1.05, 0.95, 0.6, 0.06])
  under = low - 1.25 * bow * thick
  y_4K = np.stack([over, top, low, under])
  y_4K += person.mouth_level + 0.06 * opening
  points = np.stack([np.broadcast_to(x * w, y_4K.shape), y_4K], axis=-1)
  over, top, low, under = open_curve(head.face(points, 0.03 + 0.08 * rounding))
  unit = head.scale
  shade = tuple(0.55 * c for c in person.skin)
  hollow = between(under[6:-6], under[6:-6] - [0, 0.07 * unit])
  canvas.fill(hollow, (*shade, 0.16))
  canvas.fill(between(over, top), tuple(0.84 * c for c in person.lips))
  canvas.fill(between(low, under), person.lips)
  shine = 0.45 * low[9:-9] + 0.55 * under[9:-9]
  pale = mix(person.lips, (1, 1, 1), 0.5)
  canvas.stroke(shine, 0.035 * unit, (*pale, 0.45))
  inside = between(top, low)
  if gap > 0.01:
    _draw_inside(canvas, unit, gap, top, inside)
  line = top if gap <= 0.01 else inside
  canvas.stroke(line, 0.028 * unit, (0.25, 0.06, 0.08, 0.85))


def _draw_inside(canvas, unit, gap, top_P2, inside_P2):
  canvas.fill(inside_P2, (0.22, 0.05, 0.07))
  if gap < 0.04:
    return
  canvas.clip(inside_P2)
  span = np.ptp(inside_P2[:, 0])
  base_2 = inside_P2[-(len(top_P2) // 2) - 1]
  tongue_P2 = circle(8) * [0.36 * span, 0.38 * gap * unit] + base_2
  canvas.fill(closed_curve(tongue_P2), (0.78, 0.33, 0.36))
  teeth = min(0.085, 0.4 * gap) * unit
  edge_P2 = top_P2[5:-5]
  canvas.fill(
    between(edge_P2 + [0, 2], edge_P2 - [0, teeth]), (0.97, 0.95, 0.91)
  )
  canvas.unclip()
