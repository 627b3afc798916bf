"""Places to channels and back: pictures of other sizes without arithmetic.

Dimension key: Y X rows and columns, C channels, f factor, dy dx place within
f x f. Channels are ordered c, dy, dx, the last one fastest, as in PyTorch's
pixel shuffle.
"""

import jax.numpy as jnp


def space_to_depth(x_YXC, factor):
  """[..., f Y, f X, C] -> [..., Y, X, C f f]."""
  *lead, rows, columns, channels = x_YXC.shape
  y, x = rows // factor, columns // factor
  parts = x_YXC.reshape(*lead, y, factor, x, factor, channels)
  parts = jnp.moveaxis(parts, (-1, -4), (-3, -2))
  return parts.reshape(*lead, y, x, channels * factor**2)


def depth_to_space(x_YXC, factor):
  """The inverse of `space_to_depth`."""
  *lead, y, x, inner = x_YXC.shape
  channels = inner // factor**2
  parts = x_YXC.reshape(*lead, y, x, channels, factor, factor)
  parts = jnp.moveaxis(parts, (-3, -2), (-1, -4))
  return parts.reshape(*lead, y * factor, x * factor, channels)
