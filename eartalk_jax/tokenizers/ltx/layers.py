"""Parts that the encoder and the decoder of `ltx` share.

Dimension key: B clips, T frames, Y X rows and columns, C channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv3d

_EPSILON = 1e-8
_NORM3_EPSILON = 1e-6


def active(x_C):
  """Root mean square norm over channels, then SiLU."""
  return nn.silu(pixel_norm(x_C))


def pixel_norm(x_C):
  """Divided by the root mean square over channels; no parameters."""
  square = jnp.mean(jnp.square(x_C), axis=-1, keepdims=True)
  return x_C * jax.lax.rsqrt(square + _EPSILON)


def patches(x_BTYXC, size):
  """Squares of size x size pixels -> channels; columns are the slow ones."""
  b, t, y, x, c = x_BTYXC.shape
  x = x_BTYXC.reshape(b, t, y // size, size, x // size, size, c)
  x = x.transpose(0, 1, 2, 4, 6, 5, 3)
  return x.reshape(*x.shape[:4], -1)


def pixels(x_BTYXC, size):
  """The inverse of `patches`."""
  b, t, y, x, _ = x_BTYXC.shape
  x_BTYXC = x_BTYXC.reshape(b, t, y, x, -1, size, size)
  x_BTYXC = x_BTYXC.transpose(0, 1, 2, 6, 3, 5, 4)
  return x_BTYXC.reshape(b, t, y * size, x * size, -1)


def gathered(x_BTYXC, frames, rows):
  """Boxes of frames x rows x rows numbers -> channels, in that order."""
  b, t, y, x, c = x_BTYXC.shape
  shape = b, t // frames, frames, y // rows, rows, x // rows, rows, c
  x = x_BTYXC.reshape(shape).transpose(0, 1, 3, 5, 7, 2, 4, 6)
  return x.reshape(*x.shape[:4], -1)


def spread(x_BTYXC):
  """[B T Y X 8C] -> [B 2T 2Y 2X C], the inverse of `gathered`."""
  b, t, y, x, _ = x_BTYXC.shape
  x_BTYXC = x_BTYXC.reshape(b, t, y, x, -1, 2, 2, 2)
  x_BTYXC = x_BTYXC.transpose(0, 1, 5, 2, 6, 3, 7, 4)
  return x_BTYXC.reshape(b, 2 * t, 2 * y, 2 * x, -1)


class Shortcut(nn.Module):
  """1 x 1 x 1 convolution: [B T Y X C] -> [B T Y X features]."""

  features: int

  @nn.compact
  def __call__(self, x_BTYXC):
    none = (0, 0), (0, 0)
    return Conv3d(self.features, (1, 1, 1), pad=none, name="conv")(x_BTYXC)


def beside(x_BTYXC, features):
  """What a residual block adds: its input, in its own width.

  To be called within the block, whose parts these become.
  """
  if x_BTYXC.shape[-1] == features:
    return x_BTYXC
  norm = nn.LayerNorm(
    epsilon=_NORM3_EPSILON, use_fast_variance=False, name="norm3"
  )
  return Shortcut(features, name="conv_shortcut")(norm(x_BTYXC))
