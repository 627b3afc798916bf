"""The network of `taehv`: a decoder of videos by 2-D convolutions.

Blocks see a frame and the one before it at their own input; that is all that
is remembered. Layers are numbered as in madebyollin/taehv, those without
weights among them.

Dimension key: B clips, T frames, Y X rows and columns, h w latent grid, C
channels.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv2d, doubled
from eartalk_jax.layers.shuffling import depth_to_space
from eartalk_jax.layers.tiny import TinyBlock, softly_clipped

BLOCKS = 3  # of a resolution
GROWTH = 1, 2, 2  # frames that one becomes at each resolution
FACTOR = 2 ** len(GROWTH)  # rows that one becomes
_NONE = (0, 0), (0, 0)  # padding of kernels of 1 x 1


def _folded(x_BTYXC):
  """Frames as pictures."""
  return x_BTYXC.reshape(-1, *x_BTYXC.shape[2:])


def _remembering(block, x_BTYXC, before_BYXC):
  """A TinyBlock over frames, each with the one before it.

  Returns:
    what it makes, [B T Y X C], and the last frame of its input, [B Y X C].
  """
  earlier = jnp.concatenate([before_BYXC[:, None], x_BTYXC[:, :-1]], axis=1)
  both = jnp.concatenate([x_BTYXC, earlier], axis=-1)
  made = block(_folded(both), _folded(x_BTYXC))
  return made.reshape(x_BTYXC.shape), x_BTYXC[:, -1]


class Decoder(nn.Module):
  """Latents and what is remembered -> frames about in [0, 1], and the same.

  [B t h w C] -> [B 4t Y X 3]. The memory is a tuple of `memory_shapes`.
  """

  config: "Config"  # noqa: F821, of the package

  @nn.compact
  def __call__(self, latents_BthwC, memory):
    c = self.config
    batch, before, after = latents_BthwC.shape[0], iter(memory), []
    widths = c.decoder_widths
    x = softly_clipped(_folded(latents_BthwC))
    x = nn.relu(Conv2d(widths[0], name="1")(x))
    number = 3
    for growth, width in zip(GROWTH, widths[1:], strict=True):
      x = x.reshape(batch, -1, *x.shape[1:])
      for index in range(number, number + BLOCKS):
        block = TinyBlock(name=str(index))
        x, last = _remembering(block, x, next(before))
        after.append(last)
      number += BLOCKS + 1
      x = Grown(growth, name=str(number))(_folded(x))
      # There places are repeated before frames are: one by one, it is the same.
      x = Conv2d(width, use_bias=False, name=str(number + 1))(doubled(x))
      number += 2
    x = Conv2d(3 * c.patch_size**2, name=str(number + 1))(nn.relu(x))
    x = depth_to_space(x, c.patch_size)
    return x.reshape(batch, -1, *x.shape[1:]), tuple(after)


class Grown(nn.Module):
  """Each picture becomes `frames` of them: [B Y X C] -> [B frames, Y X C]."""

  frames: int

  @nn.compact
  def __call__(self, x_BYXC):
    channels = x_BYXC.shape[-1]
    made = {"size": 1, "pad": _NONE, "use_bias": False, "name": "conv"}
    x_BYXC = Conv2d(channels * self.frames, **made)(x_BYXC)
    parts = x_BYXC.reshape(*x_BYXC.shape[:-1], self.frames, channels)
    parts = jnp.moveaxis(parts, -2, 1)
    return parts.reshape(-1, *parts.shape[2:])


def memory_shapes(config, batch):
  """Shapes of what the decoder remembers, from block to block."""
  (side, _, _), shapes = config.latent_shape, []
  for level, width in enumerate(config.decoder_widths[:-1]):
    shapes += [(batch, side * 2**level, side * 2**level, width)] * BLOCKS
  return tuple(shapes)
