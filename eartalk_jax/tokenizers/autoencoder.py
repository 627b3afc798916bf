"""The picture autoencoder: a patch transformer made of matrix products.

  encode   patches -> width, blocks -> mean and log-variance of the latents
  decode   latents -> width, blocks -> patches

Beside each stack runs a linear map from input to output. It finds the best
linear code within the first seconds of training; the blocks learn the rest.
The decoder's input at a place is the 3 x 3 latents around it, so that even its
linear part knows what lies beyond the patch's edges.

Dimension key: B pictures, Y X rows and columns, h w latent grid, C channels,
N tokens (h * w), D width, P numbers in a patch.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.config import check_range
from eartalk_jax.layers.basic import NORM_EPSILON, Heads, MergeHeads, Mlp
from eartalk_jax.layers.patches import to_latents, to_tokens


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
  """What a frame tokenizer is made of.

  Attributes:
    size: rows and columns of a picture.
    patch: picture pixels per latent, along each side.
    channels: numbers in a latent.
    width: width of both transformers; a multiple of `heads`.
    heads: attention heads.
    encoder_depth: blocks before the latents.
    decoder_depth: blocks after them.
    dtype: of the matrix products; norms, latents and pixels are float32.
  """

  size: int
  patch: int
  channels: int
  width: int
  heads: int
  encoder_depth: int
  decoder_depth: int
  dtype: Literal["float32", "bfloat16"] = "float32"

  def __post_init__(self):
    check_range(self, 1, 65_536, "size", "patch", "channels", "width", "heads")
    check_range(self, 0, 10_000, "encoder_depth", "decoder_depth")
    if self.size % self.patch:
      raise ValueError(
        f"size {self.size} is not a multiple of patch {self.patch}"
      )
    if self.width % self.heads:
      raise ValueError(
        f"width {self.width} is not a multiple of heads {self.heads}"
      )

  @property
  def latent_shape(self):
    """(h, w, C) of one picture's latents."""
    side = self.size // self.patch
    return side, side, self.channels


class Block(nn.Module):
  """Full attention and an MLP, pre-norm: [B N D] -> [B N D]."""

  config: TokenizerConfig

  @nn.compact
  def __call__(self, x_BND):
    c, dtype = self.config, jnp.dtype(self.config.dtype)
    y_BND = nn.LayerNorm(NORM_EPSILON, name="attention_norm")(x_BND)
    heads = Heads(
      c.heads, c.width // c.heads, dtype, turned=False, name="attention"
    )
    merged_BNHK = jax.nn.dot_product_attention(*heads(y_BND))
    x_BND += MergeHeads(c.width, dtype, name="merge")(merged_BNHK)
    y_BND = nn.LayerNorm(NORM_EPSILON, name="mlp_norm")(x_BND)
    return x_BND + Mlp(c.width, dtype, name="mlp")(y_BND)


class Stack(nn.Module):
  """[B N in] -> [B N out]: a transformer with a linear map around it."""

  config: TokenizerConfig
  depth: int
  outputs: int

  @nn.compact
  def __call__(self, x_BNP):
    c, dtype = self.config, jnp.dtype(self.config.dtype)
    position_ND = self.param(
      "position", nn.initializers.normal(0.02), (x_BNP.shape[1], c.width)
    )
    y_BND = nn.Dense(c.width, dtype=dtype, name="in")(x_BNP)
    y_BND += position_ND[None]
    # A Python loop: a scan over the layers costs 14 % on a CPU.
    for layer in range(self.depth):
      y_BND = Block(c, name=f"block_{layer}")(y_BND)
    y_BND = nn.LayerNorm(NORM_EPSILON, name="norm")(y_BND)
    zeros = nn.initializers.zeros_init()
    out = nn.Dense(self.outputs, dtype=dtype, kernel_init=zeros, name="out")
    linear = nn.Dense(self.outputs, use_bias=False, name="linear")
    return out(y_BND).astype(jnp.float32) + linear(x_BNP)


class Autoencoder(nn.Module):
  """Pictures in [0, 1] to the distribution of their latents, and back."""

  config: TokenizerConfig

  def setup(self):
    c = self.config
    self.encoder = Stack(c, c.encoder_depth, 2 * c.channels)
    self.decoder = Stack(c, c.decoder_depth, 3 * c.patch**2)

  def __call__(self, pictures_BYX3):
    """Encodes and decodes: what initialisation traces."""
    mean_BhwC, _ = self.encode(pictures_BYX3)
    return self.decode(mean_BhwC)

  def encode(self, pictures_BYX3):
    """Mean and log-variance of the latents, each [B h w C]."""
    h, w, channels = self.config.latent_shape
    patches_BNP = to_tokens(2 * pictures_BYX3 - 1, self.config.patch)
    moments_BNC = self.encoder(patches_BNP)
    moments_BhwC = to_latents(moments_BNC, (h, w, 2 * channels), 1)
    mean_BhwC, log_variance_BhwC = jnp.split(moments_BhwC, 2, axis=-1)
    return mean_BhwC, jnp.clip(log_variance_BhwC, -12.0, 4.0)

  def decode(self, latents_BhwC):
    """Pictures; values may lie a little outside of [0, 1]."""
    c = self.config
    patches_BNP = self.decoder(to_tokens(_neighbourhoods(latents_BhwC), 1))
    shape = (c.size, c.size, 3)
    return (to_latents(patches_BNP, shape, c.patch) + 1) / 2


def _neighbourhoods(x_BhwC):
  """[B h w C] -> [B h w 9C]: each place with those around it.

  Beyond the border the nearest place is repeated.
  """
  _, h, w, _ = x_BhwC.shape
  padded = jnp.pad(x_BhwC, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
  shifted = [
    padded[:, row : row + h, column : column + w]
    for row in range(3)
    for column in range(3)
  ]
  return jnp.concatenate(shifted, axis=-1)
