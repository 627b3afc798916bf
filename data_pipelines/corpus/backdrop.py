"""What is behind a person: a gradient and a few soft lights.

Dimension key: Y rows, X columns.
"""

import numpy as np


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
