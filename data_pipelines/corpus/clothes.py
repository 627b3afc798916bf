"""Shoulders in one of a few outfits, painted once for a whole clip."""

import numpy as np

from data_pipelines.corpus.canvas import (
  Canvas,
  between,
  circle,
  closed_curve,
  open_curve,
)
from data_pipelines.corpus.identity import mix

_SHOULDERS_Y = -1.42


class _Tailor:
  """What the outfits share: the canvas, the places, the colours."""

  def __init__(self, person, body, canvas):
    self.person, self.canvas, self.unit = person, canvas, body.scale
    self.neck = 0.62 * person.width
    self.dark = mix(person.cloth, (0, 0, 0), 0.35)
    self.pale = mix(person.cloth, (1, 1, 1), 0.35)
    self._body = body

  def place(self, points):
    points = np.asarray(points, float)
    depth = np.full((*points.shape[:-1], 1), -0.15)
    return self._body.place(np.concatenate([points, depth], axis=-1))

  def mirrored(self, points):
    """The points and their mirror images, as a pair of outlines."""
    points = np.asarray(points, float)
    return self.place(np.stack([points * [-1, 1], points]))

  def neckline(self, bottom):
    """The edge of an opening that reaches down to `bottom`."""
    w = 1.14 * self.neck
    round_ = bottom > -1.6
    middle = [(0.6 * w, bottom + 0.05)] if round_ else []
    right = [(w, -1.13), *middle]
    left = [(-x, y) for x, y in right[::-1]]
    points = self.place([*right, (0, bottom), *left])
    return open_curve(points) if round_ else points

  def torso(self, bottom, stripes=()):
    """Everything below the shoulders, open at the neck, with light on it."""
    s, n = self.person.shoulders, self.neck
    right = [
      (1.14 * n, -1.13),
      (1.5 * n, -1.25),
      (0.8 * s, _SHOULDERS_Y),
      (s, -1.75),
      (1.08 * s, -2.4),
    ]
    edge = open_curve(self.place(right))
    mirror = open_curve(self.place([(-x, y) for x, y in right]))
    floor = self.place([(-1.1 * s, -4), (1.1 * s, -4)])
    outline = np.concatenate([self.neckline(bottom), mirror, floor, edge[::-1]])
    canvas = self.canvas
    canvas.fill(outline, self.person.cloth)
    canvas.clip(outline)
    side = self.person.light[0]
    light = circle() * [0.8 * s, 0.75] + [0.5 * s * side, -1.65]
    canvas.glow(closed_curve(self.place(light)), self.pale, 0.45, 14)
    gloom = circle() * [0.8 * s, 1.2] + [-s * side, -2.3]
    canvas.glow(closed_curve(self.place(gloom)), self.dark, 0.6, 14)
    under = circle() * [1.5 * n, 0.4] + [0, -1.2]
    canvas.glow(closed_curve(self.place(under)), self.dark, 0.6, 10)
    arm = [(0.68 * s, -2.6), (0.72 * s, -2.1), (0.78 * s, -1.85)]
    canvas.stroke(
      open_curve(self.mirrored(arm)), 0.03 * self.unit, (*self.dark, 0.6)
    )
    for y in stripes:
      line = open_curve(self.place([(-s, y + 0.1), (0, y), (s, y + 0.1)]))
      canvas.stroke(line, 0.12 * self.unit, (*self.person.accent, 0.75))
    canvas.unclip()


def _crew(tailor):
  tailor.torso(-1.4)
  edge = tailor.neckline(-1.4)
  tailor.canvas.stroke(edge, 0.1 * tailor.unit, (*tailor.dark, 0.9))


def _striped(tailor):
  tailor.torso(-1.42, stripes=(-1.75, -2.08, -2.41, -2.74))
  edge = tailor.neckline(-1.42)
  tailor.canvas.stroke(edge, 0.08 * tailor.unit, (*tailor.person.accent, 1))


def _collar(tailor):
  tailor.torso(-1.5)
  n, canvas = tailor.neck, tailor.canvas
  canvas.stroke(
    tailor.place([(0, -1.5), (0, -3)]), 0.03 * tailor.unit, (*tailor.dark, 0.8)
  )
  for y in (-1.75, -2.1, -2.45):
    button = closed_curve(tailor.place(circle(8) * 0.035 + [0, y]))
    canvas.fill(button, tailor.person.accent)
  flap = [(1.1, -1.05), (1.5, -1.25), (0.85, -1.68), (0.03, -1.46)]
  flaps = tailor.mirrored(np.array(flap) * [n, 1])
  canvas.fill(flaps, tailor.person.accent)
  shade = mix(tailor.person.accent, (0, 0, 0), 0.3)
  canvas.stroke(flaps[:, 1:], 0.025 * tailor.unit, (*shade, 0.7))


def _v_neck(tailor):
  tailor.torso(-1.78)
  edge = tailor.neckline(-1.78)
  tailor.canvas.stroke(edge, 0.09 * tailor.unit, (*tailor.dark, 0.9))


def _hoodie(tailor):
  n, canvas = tailor.neck, tailor.canvas
  hood = [(1.1, -0.98), (1.7, -1.1), (1.9, -1.4), (1.2, -1.6), (1.0, -1.3)]
  hoods = closed_curve(tailor.mirrored(np.array(hood) * [n, 1]))
  canvas.fill(hoods, tailor.dark)
  tailor.torso(-1.48)
  rim = tailor.neckline(-1.48)
  canvas.stroke(rim, 0.2 * tailor.unit, (*tailor.dark, 1))
  cord = [(0.3, -1.58), (0.33, -2.05)]
  canvas.stroke(
    tailor.mirrored(cord), 0.05 * tailor.unit, (*tailor.person.accent, 1)
  )


def _turtleneck(tailor):
  tailor.torso(-1.3)
  w = 1.16 * tailor.neck
  top = open_curve(tailor.place([(-w, -1.0), (0, -1.1), (w, -1.0)]))
  low = open_curve(
    tailor.place([(-1.1 * w, -1.3), (0, -1.42), (1.1 * w, -1.3)])
  )
  canvas = tailor.canvas
  canvas.fill(between(top, low), mix(tailor.person.cloth, (0, 0, 0), 0.12))
  canvas.stroke(low, 0.04 * tailor.unit, (*tailor.dark, 0.6))


def _suit(tailor):
  n, canvas = tailor.neck, tailor.canvas
  tailor.torso(-1.4)
  shirt = mix(tailor.person.accent, (1, 1, 1), 0.75)
  front = [(1.1 * n, -1.12), (0, -2.6), (-1.1 * n, -1.12), (0, -1.42)]
  canvas.fill(tailor.place(front), shirt)
  tie = [(-0.1, -1.42), (0.1, -1.42), (0.06, -1.55), (0.14, -2.35)]
  tie += [(-0.14, -2.35), (-0.06, -1.55)]
  canvas.fill(tailor.place(tie), mix(tailor.person.accent, (0.3, 0, 0.1), 0.6))
  flap = [(1.12, -1.06), (1.3, -1.25), (0.7, -1.62), (0.05, -1.42)]
  flaps = tailor.mirrored(np.array(flap) * [n, 1])
  canvas.fill(flaps, shirt)
  canvas.stroke(flaps[:, 2:], 0.02 * tailor.unit, (0.4, 0.4, 0.45, 0.6))
  lapel = [(1.2 * n, -1.12), (1.75 * n, -1.75), (1.3 * n, -1.8), (0.0, -2.7)]
  lapels = tailor.mirrored(lapel)
  canvas.fill(lapels, mix(tailor.person.cloth, (0, 0, 0), 0.15))
  canvas.stroke(lapels[:, 1:], 0.025 * tailor.unit, (*tailor.dark, 0.9))


_OUTFITS = {
  "crew": _crew,
  "striped": _striped,
  "collar": _collar,
  "v_neck": _v_neck,
  "hoodie": _hoodie,
  "turtleneck": _turtleneck,
  "suit": _suit,
}


def make_clothes(person, body, width, height):
  """A layer for `Canvas.paste`, clear around the shoulders.

  Args:
    person: an `Identity`.
    body: the `HeadPose` of somebody who looks straight ahead.
    width: of the picture, in pixels.
    height: of the picture, in pixels.
  """
  canvas = Canvas(width, height)
  tailor = _Tailor(person, body, canvas)
  chest = [(-1.2, -1.1), (1.2, -1.1), (1.0, -1.8), (-1.0, -1.8)]
  skin = tuple(0.83 * c for c in person.skin)
  n = tailor.neck
  canvas.fill(tailor.place([(x * n, y - 0.2) for x, y in chest]), skin)
  _OUTFITS[person.clothes](tailor)
  return canvas.layer()
