"""The encoder of `ltx`: causal in time, so it streams exactly.

Every module takes what it remembers of the frames before, `past`, and returns
it brought forward; None is the beginning of a clip, before which its first
frame is repeated. A whole clip is thus one call from the beginning.

Dimension key: B clips, T frames, t latents, s = stride, Y X rows and columns, h
w latent grid, C channels.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv3d
from eartalk_jax.tokenizers.ltx.config import PATCH, WAYS
from eartalk_jax.tokenizers.ltx.layers import active, beside, gathered, patches


class CausalConv(nn.Module):
  """3 x 3 x 3 convolution of frames and those before: [B T Y X C] -> (the same
  with `features` channels, past).

  Attributes:
    features: channels.
    strides: of frames, and of rows and columns.
  """

  features: int
  strides: tuple[int, int] = (1, 1)

  @nn.compact
  def __call__(self, x_BTYXC, past):
    if past is None:
      past = jnp.repeat(x_BTYXC[:, :1], 2, axis=1)
    x_BTYXC = jnp.concatenate([past, x_BTYXC], axis=1)
    conv = Conv3d(self.features, strides=self.strides, name="conv")
    # The next output begins `strides[0]` frames after the last one did.
    return conv(x_BTYXC), x_BTYXC[:, self.strides[0] - 3 :]


class Residual(nn.Module):
  """Two convolutions beside the input: [B T Y X C] -> ([.. features], past)."""

  features: int

  @nn.compact
  def __call__(self, x_BTYXC, past):
    first, second = past or (None, None)
    y, first = CausalConv(self.features, name="conv1")(active(x_BTYXC), first)
    y, second = CausalConv(self.features, name="conv2")(active(y), second)
    return y + beside(x_BTYXC, self.features), (first, second)


class Rearranged(nn.Module):
  """Boxes of numbers become channels, beside the means of such: the way down.

  Attributes:
    features: channels of what it makes.
    way: among WAYS.
  """

  features: int
  way: str

  @nn.compact
  def __call__(self, x_BTYXC, past):
    frames, rows = WAYS[self.way]
    if past is None:
      first = jnp.repeat(x_BTYXC[:, :1], frames - 1, axis=1)
      x_BTYXC = jnp.concatenate([first, x_BTYXC], axis=1)
    conv = CausalConv(self.features // (frames * rows**2), name="conv")
    y, past = conv(x_BTYXC, past)
    beside = gathered(x_BTYXC, frames, rows)
    beside = beside.reshape(*beside.shape[:-1], self.features, -1).mean(-1)
    return gathered(y, frames, rows) + beside, past


class Block(nn.Module):
  """Residual blocks, then the way down, if any.

  Attributes:
    down: a `config.Down`.
  """

  down: "Down"  # noqa: F821, of `config`

  @nn.compact
  def __call__(self, x_BTYXC, past):
    d = self.down
    parts = [Residual(d.before, name=f"resnets_{i}") for i in range(d.layers)]
    if d.rearranged:
      parts.append(Rearranged(d.after, d.way, name="downsamplers_0"))
    elif d.way:
      parts.append(CausalConv(d.before, WAYS[d.way], name="downsamplers_0"))
    if d.before != d.after and not d.rearranged:
      parts.append(Residual(d.after, name="conv_out"))
    return through(parts, x_BTYXC, past)


class Middle(nn.Module):
  """Residual blocks between the way down and the latent."""

  features: int
  layers: int

  @nn.compact
  def __call__(self, x_BTYXC, past):
    parts = [
      Residual(self.features, name=f"resnets_{i}") for i in range(self.layers)
    ]
    return through(parts, x_BTYXC, past)


class Encoder(nn.Module):
  """[B 1+ks Y X 3] in [-1, 1] -> ([B 1+k h w C+1], past); later [B ks Y X 3].

  The last channel is the log-variance of all others.
  """

  config: "Config"  # noqa: F821, of `config`

  @nn.compact
  def __call__(self, x_BTYX3, past):
    c = self.config
    begun = past or dict.fromkeys(("conv_in", "blocks", "conv_out"))
    conv = CausalConv(c.block_out_channels[0], name="conv_in")
    x, first = conv(patches(x_BTYX3, PATCH), begun["conv_in"])
    blocks = [Block(d, name=f"down_blocks_{i}") for i, d in enumerate(c.downs)]
    width, layers = c.downs[-1].after, c.layers_per_block[-1]
    blocks.append(Middle(width, layers, name="mid_block"))
    x, middle = through(blocks, x, begun["blocks"])
    conv = CausalConv(c.latent_channels + 1, name="conv_out")
    x, last = conv(active(x), begun["conv_out"])
    return x, {"conv_in": first, "blocks": middle, "conv_out": last}


def through(modules, x_BTYXC, past):
  """Modules one after the other, each with its own past."""
  pasts = past or (None,) * len(modules)
  made = []
  for module, before in zip(modules, pasts, strict=True):
    x_BTYXC, after = module(x_BTYXC, before)
    made.append(after)
  return x_BTYXC, tuple(made)
