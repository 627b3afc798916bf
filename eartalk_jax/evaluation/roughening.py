"""Random changes of pictures that leave alone what a face does.

A batch is shifted, zoomed and blurred by one matrix product per axis and its
colours are mixed, so that they do not tell who it is; tint and grain are each
picture's own. What a batch shares is cheap on a CPU, and batches are many.

Dimension key:  B pictures, ..YX3 pictures, D numbers in a row of pixels.
"""

import jax
import jax.numpy as jnp

SHIFT = 1.5  # pixels
ZOOM = 0.05
BLUR = 1.6  # half width of the triangle that is averaged over; 1 is sharp
COLOUR = 0.12
GRAIN = 0.02


def roughen(pictures_BYX3, key):
  """Changes pictures by random amounts; values may leave [0, 1].

  Args:
    pictures_BYX3: float, in [0, 1].
    key: of the randomness.
  """
  batch, rows, columns, _ = pictures_BYX3.shape
  keys = jax.random.split(key, 6)
  mixing_33 = jnp.eye(3) + COLOUR * jax.random.normal(keys[0], (3, 3))
  # Moving along X and mixing the colours is one product over both.
  across_DD = jnp.kron(resampling(keys[1], columns).T, mixing_33)
  centred_BYD = pictures_BYX3.reshape(batch, rows, -1) - 0.5
  down_BYD = jnp.einsum("Yy,byd->bYd", resampling(keys[2], rows), centred_BYD)
  mixed_BYX3 = (down_BYD @ across_DD).reshape(pictures_BYX3.shape) + 0.5
  tint_B113 = COLOUR * jax.random.normal(keys[3], (batch, 1, 1, 3))
  # One pattern of grain for all pictures.
  level_B111 = GRAIN * jax.random.uniform(keys[4], (batch, 1, 1, 1))
  grain_1YX3 = jax.random.normal(keys[5], (1, rows, columns, 3))
  return mixed_BYX3 + tint_B113 + level_B111 * grain_1YX3


def resampling(key, size):
  """A matrix [size, size] that shifts, zooms and blurs along one axis."""
  keys = jax.random.split(key, 3)
  zoom = jax.random.uniform(keys[0], minval=1 - ZOOM, maxval=1 + ZOOM)
  shift = jax.random.uniform(keys[1], minval=-SHIFT, maxval=SHIFT)
  width = jax.random.uniform(keys[2], minval=1.0, maxval=BLUR)
  place_X = jnp.arange(size, dtype=jnp.float32)
  middle = (size - 1) / 2
  source_X = jnp.clip((place_X - middle) * zoom + middle + shift, 0, size - 1)
  away_XX = jnp.abs(source_X[:, None] - place_X[None])
  weight_XX = jnp.maximum(0, 1 - away_XX / width)
  return weight_XX / weight_XX.sum(-1, keepdims=True)
