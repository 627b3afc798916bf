"""Random changes of pictures that leave alone what a face does.

A picture is shifted, zoomed and blurred by one matrix product per axis, and its
colours are mixed at random, so that who somebody is says nothing.

Dimension key:  B pictures, ..YX3 pictures.
"""

import jax
import jax.numpy as jnp

SHIFT = 1.5  # pixels
ZOOM = 0.05
BLUR = 1.6  # half width of the triangle that is averaged over; 1 is sharp
COLOUR = 0.12
GRAIN = 0.02


def roughen(pictures_BYX3, key):
  """Changes every picture by its own random amounts; values may leave [0, 1].

  Args:
    pictures_BYX3: float, in [0, 1].
    key: of the randomness.
  """
  batch, rows, columns, _ = pictures_BYX3.shape
  keys = jax.random.split(key, 6)
  moved_BYX3 = jnp.einsum(
    "bYy,bXx,byxc->bYXc",
    resampling(keys[0], batch, rows),
    resampling(keys[1], batch, columns),
    pictures_BYX3,
  )
  mixing_B33 = COLOUR * jax.random.normal(keys[2], (batch, 3, 3))
  tint_B113 = COLOUR / 2 * jax.random.normal(keys[3], (batch, 1, 1, 3))
  mixed_BYX3 = moved_BYX3 + tint_B113
  mixed_BYX3 += jnp.einsum("byxc,bcd->byxd", moved_BYX3 - 0.5, mixing_B33)
  # One pattern of grain for all pictures: drawing many is slow on a CPU.
  level_B111 = GRAIN * jax.random.uniform(keys[4], (batch, 1, 1, 1))
  grain_1YX3 = jax.random.normal(keys[5], (1, rows, columns, 3))
  return mixed_BYX3 + level_B111 * grain_1YX3


def resampling(key, batch, size):
  """Matrices [B, size, size] that shift, zoom and blur along one axis."""
  keys = jax.random.split(key, 3)

  def uniform(key, low, high):
    return jax.random.uniform(key, (batch, 1, 1), minval=low, maxval=high)

  zoom_B11 = uniform(keys[0], 1 - ZOOM, 1 + ZOOM)
  shift_B11 = uniform(keys[1], -SHIFT, SHIFT)
  width_B11 = uniform(keys[2], 1.0, BLUR)
  place_1X1 = jnp.arange(size, dtype=jnp.float32)[None, :, None]
  middle = (size - 1) / 2
  source_BX1 = (place_1X1 - middle) * zoom_B11 + middle + shift_B11
  source_BX1 = jnp.clip(source_BX1, 0, size - 1)
  away_BXX = jnp.abs(source_BX1 - place_1X1.swapaxes(1, 2))
  weight_BXX = jnp.maximum(0, 1 - away_BXX / width_B11)
  return weight_BXX / weight_BXX.sum(-1, keepdims=True)
