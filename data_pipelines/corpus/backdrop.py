"""What is around the head: a soft background, clothes, shoulders.

Dimension key: Y rows, X columns, K control points.
"""

import numpy as np

from data_pipelines.corpus.canvas import circle, closed_curve
from data_pipelines.corpus.identity import mix


def make_backdrop(person, width, height):
  """Background of a clip, uint8 [Y X 4]: a gradient and soft lights."""
  rng = np.random.default_rng(person.bokeh)
  y_Y1 = np.linspace(0, 1, height)[:, None]
  x_1X = np.linspace(0, 1, width)[None]
  near, far = np.array(person.backdrop)
  slope = rng.uniform(-0.5, 0.5)
  share_YX = np.clip(0.15 + 0.7 * y_Y1 + slope * (x_1X - 0.5), 0, 1)
  picture_YX3 = near + share_YX[..., None] * (far - near)
  for _ in range(rng.integers(0, 6)):
    middle = rng.uniform(0, 1, 2)
    radius = rng.uniform(0.06, 0.18)
    away_YX = np.hypot(
      (x_1X - middle[0]) * width / height, y_Y1 - middle[1] * 0.7
    )
    spot_YX1 = 1 / (1 + np.exp((away_YX - radius) / 0.025))[..., None]
    picture_YX3 += 0.13 * rng.uniform(0.4, 1) * spot_YX1 * (1 - picture_YX3)
  edge_YX = np.hypot(x_1X - 0.5, y_Y1 - 0.45)
  picture_YX3 *= 1 - 0.3 * np.clip(edge_YX - 0.25, 0, 1)[..., None]
  opaque_YX1 = np.ones_like(edge_YX)[..., None]
  picture_YX4 = np.concatenate([picture_YX3, opaque_YX1], axis=-1)
  return np.round(255 * picture_YX4.clip(0, 1)).astype(np.uint8)


def draw_clothes(canvas, body, person):
  """Shoulders in one of a few outfits; drawn over the neck."""
  s, neck = person.shoulders, 0.62 * person.width
  half = [
    (neck * 1.12, -1.2),
    (neck * 1.6, -1.33),
    (s * 0.85, -1.55),
    (s, -2.0),
    (s * 1.05, -3.2),
  ]
  dip = {"v_neck": -1.95, "suit": -2.1, "turtleneck": -1.2}
  bottom = dip.get(person.clothes, -1.52)

  def place(points):
    points = np.asarray(points, float)
    return body.place(np.column_stack([points, np.full(len(points), -0.15)]))

  left = [(-x, y) for x, y in half]
  torso_K2 = place(half[:1] + [(0, bottom)] + left)
  torso_K2 = np.concatenate([torso_K2, place(half[:0:-1])])
  dark = mix(person.cloth, (0, 0, 0), 0.35)
  pale = mix(person.cloth, (1, 1, 1), 0.3)
  if person.clothes == "suit":
    shirt = [(neck * 1.1, -1.22), (0, -2.3), (-neck * 1.1, -1.22), (0, -1.6)]
    canvas.fill(place(shirt), mix(person.accent, (1, 1, 1), 0.6))
  canvas.fill(torso_K2, person.cloth)
  light = circle() * [0.6 * s, 0.5] + [0.45 * s * person.light[0], -1.75]
  canvas.clip(torso_K2)
  canvas.glow(closed_curve(place(light)), pale, 0.5, 6)
  canvas.unclip()
  _draw_neckline(canvas, body, person, place, neck, bottom, dark)


def _draw_neckline(canvas, body, person, place, neck, bottom, dark):
  unit = body.scale
  line = place([(-neck * 1.12, -1.2), (0, bottom), (neck * 1.12, -1.2)])
  if person.clothes == "collar":
    for side in (-1, 1):
      flap = [(1.15, -1.15), (1.5, -1.4), (0.75, -1.8), (0.05, -1.52)]
      points = np.array(flap) * [side * neck, 1]
      canvas.fill(place(points), person.accent)
  elif person.clothes == "turtleneck":
    w = neck * 1.2
    band = [(-w, -1.05), (w, -1.05), (w * 1.05, -1.42), (-w * 1.05, -1.42)]
    canvas.fill(place(band), person.cloth)
    canvas.stroke(place(band[2:]), 0.04 * unit, (*dark, 0.7))
  elif person.clothes == "hoodie":
    for side in (-1, 1):
      cord = [(0.35 * side, -1.62), (0.38 * side, -2.1)]
      canvas.stroke(place(cord), 0.05 * unit, (*person.accent, 1))
    canvas.stroke(line, 0.13 * unit, (*dark, 1))
  else:
    edge = person.accent if person.clothes == "crew" else dark
    canvas.stroke(line, 0.07 * unit, (*edge, 0.9))
