"""The network of `taesd`: convolutions of 3 x 3 and ReLU alone.

After madebyollin/taesd, as AutoencoderTiny of diffusers has it; layers are
numbered as there, those without weights among them.

Dimension key: B pictures, Y X rows and columns, h w latent grid, C channels.
"""

import flax.linen as nn

from eartalk_jax.layers.convolutions import Conv2d, doubled
from eartalk_jax.layers.tiny import TinyBlock, softly_clipped


class Encoder(nn.Module):
  """[B Y X 3] in [0, 1] -> [B h w C].

  Attributes:
    width: of all layers.
    blocks: how many at each resolution, beginning with the picture's.
    channels: C.
  """

  width: int
  blocks: tuple[int, ...]
  channels: int

  @nn.compact
  def __call__(self, x):
    number = 0
    for level, blocks in enumerate(self.blocks):
      name = f"layers_{number}"
      halves = {"stride": 2, "use_bias": False} if level else {}
      x = Conv2d(self.width, name=name, **halves)(x)
      for index in range(number + 1, number + 1 + blocks):
        x = TinyBlock(name=f"layers_{index}")(x, x)
      number += 1 + blocks
    return Conv2d(self.channels, name=f"layers_{number}")(x)


class Decoder(nn.Module):
  """[B h w C] -> [B Y X 3], about in [0, 1].

  Attributes:
    width: of all layers.
    blocks: how many at each resolution, beginning with the latents'.
  """

  width: int
  blocks: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    x = nn.relu(Conv2d(self.width, name="layers_0")(softly_clipped(x)))
    number = 2
    for level, blocks in enumerate(self.blocks):
      if level:
        name = f"layers_{number + 1}"
        x = Conv2d(self.width, use_bias=False, name=name)(doubled(x))
        number += 2
      for index in range(number, number + blocks):
        x = TinyBlock(name=f"layers_{index}")(x, x)
      number += blocks
    return Conv2d(3, name=f"layers_{number}")(x)


class Network(nn.Module):
  """Pictures in [0, 1] to latents, and back."""

  config: "Config"  # noqa: F821, of the package

  def setup(self):
    c = self.config
    self.encoder = Encoder(
      c.encoder_block_out_channels[0], c.num_encoder_blocks, c.latent_channels
    )
    self.decoder = Decoder(
      c.decoder_block_out_channels[0], c.num_decoder_blocks
    )

  def __call__(self, pictures_BYX3):
    """Encodes and decodes: what initialisation traces."""
    return self.decoder(self.encoder(pictures_BYX3))

  def encode(self, pictures_BYX3):
    """Latents [B h w C]."""
    return self.encoder(pictures_BYX3)

  def decode(self, latents_BhwC):
    """Pictures; values may lie beyond [0, 1]."""
    return self.decoder(latents_BhwC)
