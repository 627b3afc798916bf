"""The network of `dcae`: every way up or down has a shortcut without weights.

A stage 0 without layers is none: then the first and the last convolution go to
the next resolution themselves. Modules are named as in diffusers.

Dimension key: B pictures, Y X rows and columns, h w latent grid, C channels.
"""

import flax.linen as nn

from eartalk_jax.layers.convolutions import Conv2d, doubled
from eartalk_jax.layers.shuffling import depth_to_space, space_to_depth
from eartalk_jax.tokenizers.dcae.blocks import (
  ACTIVATIONS,
  EfficientVit,
  Residual,
  RmsNorm,
  averaged,
  halved,
  repeated,
)


class Down(nn.Module):
  """Half the rows and columns: [B Y X C] -> [B Y/2 X/2 features].

  Attributes:
    features: of the output.
    strided: a convolution of stride 2, not one whose places become channels.
    shortcut: whether the input itself is added.
  """

  features: int
  strided: bool
  shortcut: bool = True

  @nn.compact
  def __call__(self, x_BYXC):
    if self.strided:
      y = Conv2d(self.features, stride=2, name="conv")(x_BYXC)
    else:
      y = space_to_depth(Conv2d(self.features // 4, name="conv")(x_BYXC), 2)
    return y + halved(x_BYXC, self.features) if self.shortcut else y


class Up(nn.Module):
  """Twice the rows and columns: [B Y X C] -> [B 2Y 2X features].

  Attributes:
    features, shortcut: as in `Down`.
    repeats: places are repeated, not made of channels.
  """

  features: int
  repeats: bool
  shortcut: bool = True

  @nn.compact
  def __call__(self, x_BYXC):
    if self.repeats:
      y = Conv2d(self.features, name="conv")(doubled(x_BYXC))
    else:
      y = depth_to_space(Conv2d(4 * self.features, name="conv")(x_BYXC), 2)
    if not self.shortcut:
      return y
    return y + depth_to_space(repeated(x_BYXC, 4 * self.features), 2)


class Stage(nn.Module):
  """What is done at one resolution, in this order; numbered as there.

  Attributes:
    before, after: the way from the last or to the next resolution, or None.
    blocks: how many.
    head, scales, norm: of EfficientVit; `head` 0: blocks are Residual.
    activation: of Residual.
  """

  before: tuple | None
  after: tuple | None
  blocks: int
  head: int
  scales: tuple[int, ...]
  norm: str
  activation: str

  @nn.compact
  def __call__(self, x_BYXC):
    number = 0
    if self.before:
      x_BYXC = Up(*self.before, name="0")(x_BYXC)
      number = 1
    for index in range(number, number + self.blocks):
      name = str(index)
      if self.head:
        block = EfficientVit(self.head, self.scales, self.norm, name=name)
      else:
        block = Residual(self.norm, self.activation, name=name)
      x_BYXC = block(x_BYXC)
    if self.after:
      x_BYXC = Down(*self.after, name=str(number + self.blocks))(x_BYXC)
    return x_BYXC


class Encoder(nn.Module):
  """[B Y X 3] in [-1, 1] -> [B h w C]."""

  config: "Config"  # noqa: F821, of the package

  @nn.compact
  def __call__(self, x_BYX3):
    c = self.config
    strided = c.downsample_block_type == "conv"
    widths, blocks = c.encoder_block_out_channels, c.encoder_layers_per_block
    if blocks[0]:
      x = Conv2d(widths[0], name="conv_in")(x_BYX3)
    else:
      x = Down(widths[1], strided, shortcut=False, name="conv_in")(x_BYX3)
    for index in range(len(widths)):
      after = None
      if blocks[index] and index + 1 < len(widths):
        after = widths[index + 1], strided
      head = c.head(c.encoder_block_types[index])
      scales = c.encoder_qkv_multiscales[index]
      kind = blocks[index], head, scales, "rms_norm", "silu"
      x = Stage(None, after, *kind, name=f"down_blocks_{index}")(x)
    y = Conv2d(c.latent_channels, name="conv_out")(x)
    return y + averaged(x, c.latent_channels) if c.encoder_out_shortcut else y


class Decoder(nn.Module):
  """[B h w C] -> [B Y X 3], about in [-1, 1]."""

  config: "Config"  # noqa: F821, of the package

  @nn.compact
  def __call__(self, x_BhwC):
    c = self.config
    repeats = c.upsample_block_type == "interpolate"
    widths, blocks = c.decoder_block_out_channels, c.decoder_layers_per_block
    x = Conv2d(widths[-1], name="conv_in")(x_BhwC)
    if c.decoder_in_shortcut:
      x += repeated(x_BhwC, widths[-1])
    for index in reversed(range(len(widths))):
      before = None
      if blocks[index] and index + 1 < len(widths):
        before = widths[index], repeats
      head = c.head(c.decoder_block_types[index])
      norm, activation = c.decoder_norm_types[index], c.decoder_act_fns[index]
      scales = c.decoder_qkv_multiscales[index]
      kind = blocks[index], head, scales, norm, activation
      x = Stage(before, None, *kind, name=f"up_blocks_{index}")(x)
    x = ACTIVATIONS[c.decoder_conv_act_fn](RmsNorm(name="norm_out")(x))
    if blocks[0]:
      return Conv2d(3, name="conv_out")(x)
    return Up(3, repeats, shortcut=False, name="conv_out")(x)


class Network(nn.Module):
  """Pictures in [-1, 1] to latents, and back."""

  config: "Config"  # noqa: F821, of the package

  def setup(self):
    self.encoder, self.decoder = Encoder(self.config), Decoder(self.config)

  def __call__(self, pictures_BYX3):
    """Encodes and decodes: what initialisation traces."""
    return self.decoder(self.encoder(pictures_BYX3))

  def encode(self, pictures_BYX3):
    """Latents [B h w C]."""
    return self.encoder(pictures_BYX3)

  def decode(self, latents_BhwC):
    """Pictures; values may lie beyond [-1, 1]."""
    return self.decoder(latents_BhwC)
