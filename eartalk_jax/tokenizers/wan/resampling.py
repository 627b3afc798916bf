"""Between the resolutions of `wan`, in space and time.

Frame 0 of a clip has no neighbours in time: it passes as it is, and the later
frames are joined by twos, or each become two.

  down   0 | 1 2 | 3 4 | ...   output k is made of frames 2k - 2, 2k - 1, 2k
  up     0 | 1   | 2   | ...   input k >= 1 becomes frames 2k - 1, 2k

Past of a layer: see `layers`.

Dimension key: B clips, T frames, Y X rows and columns, C channels.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv2d, Conv3d, doubled
from eartalk_jax.tokenizers.wan.layers import (
  NONE,
  REACH,
  each_frame,
  zeros_before,
)


class Down(nn.Module):
  """Half the rows and columns, and half the frames if `in_time`.

  Its past is the last frame before those are joined, or nothing.
  """

  in_time: bool

  @nn.compact
  def __call__(self, x_BTYXC, past_B1YXC=None):
    channels, pad = x_BTYXC.shape[-1], ((0, 1), (0, 1))
    conv = Conv2d(channels, stride=2, pad=pad, name="resample_1")
    x_BTYXC = each_frame(conv, x_BTYXC)
    if not self.in_time:
      return x_BTYXC, {}
    last_B1YXC = x_BTYXC[:, -1:]
    join = Conv3d(channels, (3, 1, 1), (2, 1), NONE, name="time_conv")
    if past_B1YXC is not None:
      return join(jnp.concatenate([past_B1YXC, x_BTYXC], axis=1)), last_B1YXC
    if x_BTYXC.shape[1] > 1:
      later = join(x_BTYXC)
      x_BTYXC = jnp.concatenate([x_BTYXC[:, :1], later], axis=1)
    return x_BTYXC, last_B1YXC


class Up(nn.Module):
  """Twice the rows and columns, and twice the frames if `in_time`.

  Its past is the last two frames before those are doubled, frame 0 never among
  them, or nothing.
  """

  features: int
  in_time: bool

  @nn.compact
  def __call__(self, x_BTYXC, past_B2YXC=None):
    after = {}
    if self.in_time:
      x_BTYXC, after = self._doubled_in_time(x_BTYXC, past_B2YXC)
    conv = Conv2d(self.features, name="resample_1")
    return each_frame(conv, doubled(x_BTYXC)), after

  def _doubled_in_time(self, x_BTYXC, past_B2YXC):
    channels = x_BTYXC.shape[-1]
    split = Conv3d(2 * channels, (3, 1, 1), pad=NONE, name="time_conv")
    first = x_BTYXC[:, :0]
    if past_B2YXC is None:
      first, x_BTYXC = x_BTYXC[:, :1], x_BTYXC[:, 1:]
      past_B2YXC = zeros_before(first, REACH)
      if not x_BTYXC.shape[1]:
        return first, past_B2YXC
    joined_BTYXC = jnp.concatenate([past_B2YXC, x_BTYXC], axis=1)
    pairs = split(joined_BTYXC)
    # The earlier frame's channels come first.
    pairs_BTYX2C = pairs.reshape(*x_BTYXC.shape[:-1], 2, channels)
    shape = (len(pairs), 2 * pairs.shape[1], *x_BTYXC.shape[2:])
    later = jnp.moveaxis(pairs_BTYX2C, -2, 2).reshape(shape)
    return jnp.concatenate([first, later], axis=1), joined_BTYXC[:, -REACH:]


def averaged(x_BTYXC, features, frames, side):
  """Means of neighbouring numbers: a shortcut around a level of the encoder.

  [B T Y X C] -> [B T' Y/side X/side features]. Channels of a place come before
  its frames, rows and columns; groups of neighbours in that order are averaged.
  Where a clip begins, frame 0 is joined with zeros.
  """
  zeros = zeros_before(x_BTYXC, -x_BTYXC.shape[1] % frames)
  x_BTYXC = jnp.concatenate([zeros, x_BTYXC], axis=1)
  b, t, y, x, c = x_BTYXC.shape
  shape = (b, t // frames, frames, y // side, side, x // side, side, c)
  parts = x_BTYXC.reshape(shape).transpose(0, 1, 3, 5, 7, 2, 4, 6)
  return parts.reshape(*parts.shape[:4], features, -1).mean(-1)


def repeated(x_BTYXC, features, frames, first):
  """The inverse: numbers repeated, a shortcut around a level of the decoder.

  [B T Y X C] -> [B T*frames 2Y 2X features].

  Args:
    x_BTYXC: what goes into the level.
    features: channels that come out of it.
    frames: that each frame becomes.
    first: whether this begins with frame 0, which becomes one.
  """
  b, t, y, x, c = x_BTYXC.shape
  x_BTYXC = jnp.repeat(x_BTYXC, features * frames * 4 // c, axis=-1)
  parts = x_BTYXC.reshape(b, t, y, x, features, frames, 2, 2)
  parts = parts.transpose(0, 1, 5, 2, 6, 3, 7, 4)
  out = parts.reshape(b, t * frames, 2 * y, 2 * x, features)
  return out[:, frames - 1 :] if first else out


def joined(x_BTYXC, side):
  """Pixels to channels; of a place, its columns are the slower."""
  b, t, y, x, c = x_BTYXC.shape
  parts = x_BTYXC.reshape(b, t, y // side, side, x // side, side, c)
  parts = parts.transpose(0, 1, 2, 4, 6, 5, 3)
  return parts.reshape(b, t, y // side, x // side, -1)


def separated(x_BTYXC, side):
  """The inverse of `joined`."""
  b, t, y, x, _ = x_BTYXC.shape
  parts = x_BTYXC.reshape(b, t, y, x, -1, side, side)
  parts = parts.transpose(0, 1, 2, 6, 3, 5, 4)
  return parts.reshape(b, t, y * side, x * side, -1)
