"""Eyes, brows, nose and mouth of one face in one pose.

Each function draws one feature on a canvas; sizes are in head units, pen
widths in pixels of a face whose unit is `head.scale` pixels.
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

_DARK = (0.12, 0.07, 0.07)


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
    (-0.13, 0.1, 0.82, 0.35, -0.07),
    (0.15, 0.16, 1.3, 0.0, 0.0),
  ]
)


def blend_expression(weights_E):
  """The face of a mixture of emotions."""
  return Expression(*(weights_E @ _EXPRESSIONS_E5))


def draw_eye(canvas, head, person, side, face, blink, gaze_2):
  """One eye; `side` -1 is the picture's left."""
  w, up = person.eye_width, person.eye_height * face.lids
  low = 0.62 * person.eye_height * (1 - 0.45 * face.squint)
  x = np.array([-1.0, -0.55, 0.0, 0.55, 1.0])
  tilt = person.eye_tilt * x
  tilt = tilt + 0.025 * x * (face.brow_outer - face.brow_inner) * 4
  upper = np.array([-0.02, 0.78, 1.0, 0.78, -0.02]) * up + tilt
  lower = -np.array([0.02, 0.62, 1.0, 0.7, 0.02]) * low + tilt
  lid = (1 - blink) * upper + blink * (0.85 * lower)
  centre = np.array([side * person.eye_gap, person.eye_level])

  def place(y, out=0.0):
    points = np.stack([side * x * w, y], 1) + centre
    return open_curve(head.face(points, out))

  crease_P2 = place(1.12 * upper + 0.035)
  lid_P2, lower_P2 = place(lid), place(lower)
  unit = head.scale
  opening_P2 = between(lid_P2, lower_P2)
  socket_P2 = closed_curve(
    head.face(circle() * [1.45 * w, 2.1 * person.eye_height] + centre)
  )
  shade = tuple(0.55 * c for c in person.skin)
  canvas.glow(socket_P2, shade, 0.34)
  canvas.fill(opening_P2, (0.97, 0.96, 0.95))
  canvas.clip(opening_P2)
  _draw_iris(canvas, head, person, centre, gaze_2)
  canvas.fill(between(lid_P2, lid_P2 - [0, 0.055 * unit]), (*_DARK, 0.25))
  canvas.unclip()
  lid_skin = tuple(0.86 * c for c in person.skin)
  canvas.fill(between(crease_P2, lid_P2), lid_skin)
  canvas.stroke(crease_P2, 0.02 * unit, (*shade, 0.55))
  canvas.stroke(lower_P2, 0.02 * unit, (*shade, 0.8))
  canvas.stroke(lid_P2, 0.05 * unit, (*_DARK, 0.95))


def _draw_iris(canvas, head, person, centre, gaze_2):
  radius = 0.9 * person.eye_height
  shift = gaze_2 * [0.48 * person.eye_width, 0.35 * person.eye_height]
  middle = centre + shift
  disc = circle()

  def place(size, offset=0.0):
    return closed_curve(head.face(disc * radius * size + middle + offset))

  canvas.fill(place(1.0), mix(person.iris, (0, 0, 0), 0.45))
  canvas.fill(place(0.86), person.iris)
  canvas.fill(place(0.5), (0.05, 0.04, 0.05))
  spark = radius * np.array([-0.3, 0.38])
  canvas.fill(place(0.24, spark), (1, 1, 1, 0.92))


def draw_brow(canvas, head, person, side, face):
  """One eyebrow, moved by the expression."""
  t = np.linspace(0, 1, 5)
  x = (person.eye_gap - 0.21 + 0.46 * t) * side
  arch = 0.05 * np.sin(np.pi * t**1.2)
  lift_y = face.brow_inner * (1 - t) + face.brow_outer * t
  y = person.eye_level + person.brow_level + arch + lift_y - 0.03 * t
  thick = person.brow_weight * np.array([0.75, 1.0, 0.95, 0.7, 0.2])
  top_P2 = open_curve(head.face(np.stack([x, y + thick], 1), 0.04))
  low_P2 = open_curve(head.face(np.stack([x, y - thick], 1), 0.04))
  colour = mix(person.hair, (0.16, 0.1, 0.08), 0.45)
  canvas.fill(between(top_P2, low_P2), (*colour, 0.93))


def draw_nose(canvas, head, person):
  """Bridge, tip, wings and nostrils; stands out from the face."""
  w, y = person.nose_width, person.nose_level
  dark = tuple(0.62 * c for c in person.skin)
  glow = mix(person.skin, (1, 1, 1), 0.45)
  away = -1 if person.light[0] > 0 else 1
  ridge = [(0.1, 0.16, 0.04), (0.07, -0.05, 0.16), (0.06, y + 0.06, 0.2)]
  wall = [(0.19, 0.12, 0.0), (0.17, -0.08, 0.02), (w * 1.02, y, 0.05)]

  def solid(rows, sign=1):
    rows_K3 = np.array(rows) * [sign, 1, 1]
    return head.face(rows_K3[:, :2], rows_K3[:, 2])

  side_P2 = between(solid(ridge, away), solid(wall, away))
  canvas.glow(closed_curve(side_P2), dark, 0.5, 4)
  under = circle() * [1.15 * w, 0.075] + [0, y - 0.085]
  canvas.glow(closed_curve(head.face(under, 0.06)), dark, 0.5, 4)
  tip = closed_curve(head.face(circle() * [0.085, 0.07] + [0, y + 0.05], 0.2))
  canvas.glow(tip, glow, 0.55, 4)
  line = closed_curve(head.face(circle() * [0.035, 0.17] + [0, 0.02], 0.12))
  canvas.glow(line, glow, 0.35, 3)
  for side in (-1, 1):
    wing = [(0.8, 0.05, 0.1), (1.05, -0.01, 0.06), (0.85, -0.06, 0.08)]
    wing = np.array(wing) * [side * w, 1, 1] + [0, y, 0]
    wing_P2 = open_curve(head.face(wing[:, :2], wing[:, 2]))
    canvas.stroke(wing_P2, 0.025 * head.scale, (*dark, 0.7))
    hole = circle(8) * [0.04, 0.024] + [side * 0.5 * w, y - 0.055]
    hole_P2 = closed_curve(head.face(hole, 0.12))
    canvas.fill(hole_P2, (*mix(dark, _DARK, 0.6), 0.8))


def draw_mouth(canvas, head, person, face, mouth_3):
  """Lips and what is between them for a shape (open, width, round)."""
  opening, width, rounding = mouth_3
  w = person.mouth_width * (0.84 + 0.4 * width - 0.36 * rounding)
  w *= 1 + 0.7 * max(face.smile, 0)
  gap = 0.36 * opening
  x = np.array([-1.0, -0.72, -0.38, 0.0, 0.38, 0.72, 1.0])
  bow = person.lip_fullness * (1 + 0.35 * rounding)
  hold = face.smile * (np.abs(x) ** 1.6 - 0.35)
  round_K = np.array([0.0, 0.62, 0.92, 1.0, 0.92, 0.62, 0.0])
  seam = 0.012 * np.array([0, 0.6, 1.0, -0.4, 1.0, 0.6, 0]) + hold
  top = seam + 0.3 * gap * round_K - 0.15 * gap
  low = seam - 0.7 * gap * round_K - 0.15 * gap
  over = top + bow * np.array([0.08, 0.62, 1.08, 0.86, 1.08, 0.62, 0.08])
  under = low - 1.25 * bow * np.array([0.06, 0.6, 0.95, 1.05, 0.95, 0.6, 0.06])
  out = 0.03 + 0.08 * rounding

  def place(y):
    points = np.stack([x * w, y + person.mouth_level + 0.06 * opening], 1)
    return open_curve(head.face(points, out))

  over_P2, top_P2, low_P2, under_P2 = (
    place(y) for y in (over, top, low, under)
  )
  unit = head.scale
  shade = tuple(0.55 * c for c in person.skin)
  hollow_P2 = under_P2 - [0, 0.06 * unit]
  canvas.glow(between(under_P2 + [0, 0.02 * unit], hollow_P2), shade, 0.3, 3)
  canvas.fill(between(over_P2, top_P2), tuple(0.84 * c for c in person.lips))
  canvas.fill(between(low_P2, under_P2), person.lips)
  shine_P2 = place(low - 0.55 * bow)[9:-9]
  pale = mix(person.lips, (1, 1, 1), 0.5)
  canvas.stroke(shine_P2, 0.035 * unit, (*pale, 0.45))
  if gap > 0.01:
    _draw_inside(canvas, unit, gap, top_P2, low_P2)
  line_P2 = top_P2 if gap <= 0.01 else between(top_P2, low_P2)
  canvas.stroke(line_P2, 0.028 * unit, (0.25, 0.06, 0.08, 0.85))


def _draw_inside(canvas, unit, gap, top_P2, low_P2):
  inside_P2 = between(top_P2, low_P2)
  canvas.fill(inside_P2, (0.22, 0.05, 0.07))
  canvas.clip(inside_P2)
  span = np.ptp(inside_P2[:, 0])
  base_2 = low_P2[len(low_P2) // 2]
  tongue_P2 = circle() * [0.36 * span, 0.38 * gap * unit] + base_2
  canvas.fill(closed_curve(tongue_P2), (0.78, 0.33, 0.36))
  teeth = min(0.085, 0.4 * gap) * unit
  canvas.fill(
    between(top_P2[5:-5] + [0, 2], top_P2[5:-5] - [0, teeth]),
    (0.97, 0.95, 0.91),
  )
  canvas.unclip()
