"""The network of `kl`: residual blocks of 2-D convolutions, one attention.

After Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion
Models" (arXiv 2112.10752), as AutoencoderKL of diffusers has it; modules are
named as there.

Dimension key: B pictures, Y X rows and columns, N places (Y * X), C channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv2d, doubled

_EPSILON = 1e-6
_LOG_VARIANCE = -30.0, 20.0
_NONE = (0, 0), (0, 0)  # padding of kernels of 1 x 1


def _norm(groups, name):
  """Group norm over the whole picture."""
  return nn.GroupNorm(
    groups, epsilon=_EPSILON, use_fast_variance=False, name=name
  )


class Residual(nn.Module):
  """Two convolutions beside the input: [B Y X C] -> [B Y X features]."""

  features: int
  groups: int

  @nn.compact
  def __call__(self, x_BYXC):
    y = nn.silu(_norm(self.groups, "norm1")(x_BYXC))
    y = Conv2d(self.features, name="conv1")(y)
    y = nn.silu(_norm(self.groups, "norm2")(y))
    y = Conv2d(self.features, name="conv2")(y)
    if x_BYXC.shape[-1] != self.features:
      shortcut = Conv2d(self.features, 1, pad=_NONE, name="conv_shortcut")
      x_BYXC = shortcut(x_BYXC)
    return x_BYXC + y


class Attention(nn.Module):
  """One head over all places, beside the input: [B Y X C] -> the same."""

  groups: int

  @nn.compact
  def __call__(self, x_BYXC):
    b, y, x, channels = x_BYXC.shape
    normal_BYXC = _norm(self.groups, "group_norm")(x_BYXC)
    normal_BNC = normal_BYXC.reshape(b, y * x, channels)
    q, k, v = (
      nn.Dense(channels, name=name)(normal_BNC)[:, :, None]
      for name in ("to_q", "to_k", "to_v")
    )
    attended_BNC = jax.nn.dot_product_attention(q, k, v)[:, :, 0]
    out_BNC = nn.Dense(channels, name="to_out_0")(attended_BNC)
    return x_BYXC + out_BNC.reshape(x_BYXC.shape)


class Middle(nn.Module):
  """What is between the way down and the way up."""

  groups: int
  attends: bool

  @nn.compact
  def __call__(self, x_BYXC):
    channels = x_BYXC.shape[-1]
    x_BYXC = Residual(channels, self.groups, name="resnets_0")(x_BYXC)
    if self.attends:
      x_BYXC = Attention(self.groups, name="attentions_0")(x_BYXC)
    return Residual(channels, self.groups, name="resnets_1")(x_BYXC)


class Level(nn.Module):
  """Residual blocks at one resolution, then the way to the next.

  Attributes:
    features, blocks, groups: of the residual blocks.
    way: "down", "up" or "".
  """

  features: int
  blocks: int
  groups: int
  way: str

  @nn.compact
  def __call__(self, x_BYXC):
    for index in range(self.blocks):
      block = Residual(self.features, self.groups, name=f"resnets_{index}")
      x_BYXC = block(x_BYXC)
    if self.way == "down":
      return Down(self.features, name="downsamplers_0")(x_BYXC)
    if self.way == "up":
      return Up(self.features, name="upsamplers_0")(x_BYXC)
    return x_BYXC


class Down(nn.Module):
  """Half the rows and columns; zeros below and on the right alone."""

  features: int

  @nn.compact
  def __call__(self, x_BYXC):
    pad = (0, 1), (0, 1)
    return Conv2d(self.features, stride=2, pad=pad, name="conv")(x_BYXC)


class Up(nn.Module):
  """Twice the rows and columns."""

  features: int

  @nn.compact
  def __call__(self, x_BYXC):
    return Conv2d(self.features, name="conv")(doubled(x_BYXC))


class Encoder(nn.Module):
  """[B Y X 3] in [-1, 1] -> [B h w 2C]: means, then log-variances."""

  config: "Config"  # noqa: F821, of the package

  @nn.compact
  def __call__(self, x_BYX3):
    c = self.config
    x = Conv2d(c.block_out_channels[0], name="conv_in")(x_BYX3)
    last = len(c.block_out_channels) - 1
    for index, features in enumerate(c.block_out_channels):
      rest = c.layers_per_block, c.norm_num_groups, "down" * (index < last)
      x = Level(features, *rest, name=f"down_blocks_{index}")(x)
    attends = c.mid_block_add_attention
    x = Middle(c.norm_num_groups, attends, name="mid_block")(x)
    x = nn.silu(_norm(c.norm_num_groups, "conv_norm_out")(x))
    return Conv2d(2 * c.latent_channels, name="conv_out")(x)


class Decoder(nn.Module):
  """[B h w C] -> [B Y X 3], about in [-1, 1]."""

  config: "Config"  # noqa: F821, of the package

  @nn.compact
  def __call__(self, x_BhwC):
    c = self.config
    x = Conv2d(c.block_out_channels[-1], name="conv_in")(x_BhwC)
    attends = c.mid_block_add_attention
    x = Middle(c.norm_num_groups, attends, name="mid_block")(x)
    last = len(c.block_out_channels) - 1
    for index, features in enumerate(reversed(c.block_out_channels)):
      rest = c.layers_per_block + 1, c.norm_num_groups, "up" * (index < last)
      x = Level(features, *rest, name=f"up_blocks_{index}")(x)
    x = nn.silu(_norm(c.norm_num_groups, "conv_norm_out")(x))
    return Conv2d(3, name="conv_out")(x)


class Network(nn.Module):
  """Pictures in [-1, 1] to moments of latents, and back."""

  config: "Config"  # noqa: F821, of the package

  def setup(self):
    c = self.config
    self.encoder, self.decoder = Encoder(c), Decoder(c)
    if c.use_quant_conv:
      self.quant_conv = Conv2d(2 * c.latent_channels, 1, pad=_NONE)
    if c.use_post_quant_conv:
      self.post_quant_conv = Conv2d(c.latent_channels, 1, pad=_NONE)

  def __call__(self, pictures_BYX3):
    """Encodes and decodes: what initialisation traces."""
    return self.decode(self.encode(pictures_BYX3)[0])

  def encode(self, pictures_BYX3):
    """Mean and log-variance of the latents, each [B h w C]."""
    moments = self.encoder(pictures_BYX3)
    if self.config.use_quant_conv:
      moments = self.quant_conv(moments)
    mean_BhwC, log_variance_BhwC = jnp.split(moments, 2, axis=-1)
    return mean_BhwC, jnp.clip(log_variance_BhwC, *_LOG_VARIANCE)

  def decode(self, latents_BhwC):
    """Pictures; values may lie beyond [-1, 1]."""
    if self.config.use_post_quant_conv:
      latents_BhwC = self.post_quant_conv(latents_BhwC)
    return self.decoder(latents_BhwC)
