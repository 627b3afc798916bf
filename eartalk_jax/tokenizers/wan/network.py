"""The network of `wan`: causal in time both ways, so that it streams exactly.

After the Wan team, "Wan: Open and Advanced Large-Scale Video Generative Models"
(arXiv 2503.20314), as AutoencoderKLWan of diffusers has it; modules are named
as there. For past and its form see `layers`.

Dimension key: B clips, T frames, t latents, Y X rows and columns, h w latent
grid, C channels.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv3d
from eartalk_jax.tokenizers.wan.config import Config
from eartalk_jax.tokenizers.wan.layers import (
  NONE,
  Causal,
  Memory,
  Middle,
  Norm,
  Residual,
)
from eartalk_jax.tokenizers.wan.resampling import (
  Down,
  Up,
  averaged,
  joined,
  repeated,
  separated,
)

_LOG_VARIANCE = -30.0, 20.0


class DownLevel(nn.Module):
  """A level of the encoder 2.2: residual blocks, the way down, a shortcut.

  Attributes:
    features, blocks: of the residual blocks.
    in_time: whether frames are halved; None: there is no way down.
  """

  features: int
  blocks: int
  in_time: bool | None

  @nn.compact
  def __call__(self, x_BTYXC, past=None):
    memory, y = Memory(past), x_BTYXC
    for index in range(self.blocks):
      y = memory(Residual(self.features, name=f"resnets_{index}"), y)
    frames, side = 1, 1
    if self.in_time is not None:
      frames, side = 2 if self.in_time else 1, 2
      y = memory(Down(self.in_time, name="downsampler"), y)
    return y + averaged(x_BTYXC, self.features, frames, side), memory.after


class UpLevel(nn.Module):
  """A level of the decoder: residual blocks, then the way up.

  Attributes:
    features, blocks: of the residual blocks.
    in_time: whether frames are doubled; None: there is no way up.
    residual: whether it is of 2.2, which adds a shortcut. Otherwise channels
      are halved on the way up.
  """

  features: int
  blocks: int
  in_time: bool | None
  residual: bool

  @nn.compact
  def __call__(self, x_BTYXC, past=None):
    memory, y = Memory(past), x_BTYXC
    for index in range(self.blocks):
      y = memory(Residual(self.features, name=f"resnets_{index}"), y)
    if self.in_time is None:
      return y, memory.after
    if not self.residual:
      up = Up(self.features // 2, self.in_time, name="upsamplers_0")
      return memory(up, y), memory.after
    y = memory(Up(self.features, self.in_time, name="upsampler"), y)
    frames = 2 if self.in_time else 1
    y += repeated(x_BTYXC, self.features, frames, first=past is None)
    return y, memory.after


class Encoder(nn.Module):
  """[B T Y X 3] in [-1, 1] -> [B t h w 2C]."""

  config: Config

  @nn.compact
  def __call__(self, x_BTYX3, past=None):
    c, memory = self.config, Memory(past)
    x = memory(Causal(c.base_dim, name="conv_in"), joined(x_BTYX3, c.patch))
    for index, layer in enumerate(self._levels()):
      x = memory(layer(name=f"down_blocks_{index}"), x)
    x = memory(Middle(name="mid_block"), x)
    x = nn.silu(Norm(name="norm_out")(x))
    return memory(Causal(2 * c.z_dim, name="conv_out"), x), memory.after

  def _levels(self):
    """Yields (name) -> module; those of 2.1 are not in groups."""
    c = self.config
    ways = *c.temperal_downsample, None
    for features, in_time in zip(c.encoder_widths[1:], ways, strict=True):
      if c.is_residual:
        yield partial(DownLevel, features, c.num_res_blocks, in_time)
        continue
      yield from [partial(Residual, features)] * c.num_res_blocks
      if in_time is not None:
        yield partial(Down, in_time)


class Decoder(nn.Module):
  """[B t h w C] -> [B T Y X 3], about in [-1, 1]."""

  config: Config

  @nn.compact
  def __call__(self, x_BthwC, past=None):
    c, memory = self.config, Memory(past)
    middle, *widths = c.decoder_widths
    x = memory(Causal(middle, name="conv_in"), x_BthwC)
    x = memory(Middle(name="mid_block"), x)
    ways = zip(widths, (*c.doubled_in_time, None), strict=True)
    for index, (features, in_time) in enumerate(ways):
      form = features, c.num_res_blocks + 1, in_time, c.is_residual
      x = memory(UpLevel(*form, name=f"up_blocks_{index}"), x)
    x = nn.silu(Norm(name="norm_out")(x))
    x = memory(Causal(3 * c.patch**2, name="conv_out"), x)
    return separated(x, c.patch), memory.after


class Network(nn.Module):
  """Videos in [-1, 1] to moments of latents, and back."""

  config: Config

  def setup(self):
    c = self.config
    one = (1, 1, 1)
    self.encoder, self.decoder = Encoder(c), Decoder(c)
    self.quant_conv = Conv3d(2 * c.z_dim, one, pad=NONE)
    self.post_quant_conv = Conv3d(c.z_dim, one, pad=NONE)

  def __call__(self, frames_BTYX3):
    """Encodes and decodes: what initialisation traces."""
    return self.decode(self.encode(frames_BTYX3)[0])

  def encode(self, frames_BTYX3):
    """Mean and log-variance of the latents of clips, each [B t h w C].

    Raises:
      ValueError: they are not of 1 + n * stride frames.
    """
    frames, stride = frames_BTYX3.shape[1], self.config.stride
    if frames % stride != 1 % stride:
      raise ValueError(
        f"{frames} frames are not 1 + n * {stride}; cut the clip"
      )
    return self.encode_on(frames_BTYX3, None)[0]

  def decode(self, latents_BthwC):
    """Clips of 1 + n * stride frames; values may lie beyond [-1, 1]."""
    return self.decode_on(latents_BthwC, None)[0]

  def encode_on(self, frames_BTYX3, past):
    """The next frames of clips, or the first where past is None.

    Returns:
      (mean, log-variance), each [B t h w C]; past after them.
    """
    moments, past = self.encoder(frames_BTYX3, past)
    mean, log_variance = jnp.split(self.quant_conv(moments), 2, axis=-1)
    return (mean, jnp.clip(log_variance, *_LOG_VARIANCE)), past

  def decode_on(self, latents_BthwC, past):
    """The next latents of clips, or the first where past is None.

    Returns:
      Their frames [B T Y X 3]; past after them.
    """
    return self.decoder(self.post_quant_conv(latents_BthwC), past)
