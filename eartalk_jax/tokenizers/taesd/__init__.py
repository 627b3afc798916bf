"""The kind `taesd`: a tiny autoencoder of another one's latents.

AutoencoderTiny of diffusers, such as taesd for the latents of sd-vae-ft-mse:
its latents are KL's after their scale, so that its mean is 0 and its deviation
1. A latent is a frame, and nothing is remembered from one to the next.

Dimension key: B pictures, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
import sys

import jax.numpy as jnp

from eartalk_jax.config import check_range, from_config
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.tokenizers import pictures, pretrained
from eartalk_jax.tokenizers.pictures import PictureTokenizer
from eartalk_jax.tokenizers.taesd.network import Network

_KIND = sys.modules[__name__]
_CLASS = "AutoencoderTiny"


@dataclasses.dataclass(frozen=True)
class Config:
  """What the network is made of, by the names of diffusers.

  Attributes:
    size: rows and columns of a picture.
    latent_channels: C.
    encoder_block_out_channels, decoder_block_out_channels: a width for each
      resolution; those of a half must be equal.
    num_encoder_blocks: blocks at each resolution, beginning with the picture's.
    num_decoder_blocks: the same, beginning with the latents'.
  """

  size: int
  latent_channels: int = 4
  encoder_block_out_channels: tuple[int, ...] = (64,) * 4
  decoder_block_out_channels: tuple[int, ...] = (64,) * 4
  num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
  num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)

  def __post_init__(self):
    check_range(self, 1, 4096, "latent_channels")
    count = len(self.num_encoder_blocks)
    if not 1 <= count <= 8:
      raise ValueError("num_encoder_blocks must have 1 to 8 entries")
    for half in ("encoder", "decoder"):
      widths = getattr(self, f"{half}_block_out_channels")
      blocks = getattr(self, f"num_{half}_blocks")
      if not len(widths) == len(blocks) == count:
        raise ValueError(
          f"{half}_block_out_channels and num_{half}_blocks must have as many "
          f"entries as num_encoder_blocks: {count}"
        )
      if len(set(widths)) > 1 or not 0 < widths[0] <= 65_536:
        raise ValueError(
          f"{half}_block_out_channels must be one width, 1 to 65536, repeated"
        )
      if not all(0 <= x <= 64 for x in blocks):
        raise ValueError(f"num_{half}_blocks must be 0 to 64 each")
    pretrained.check_size(self, self.factor)

  @property
  def factor(self):
    """Pixels on a latent's side."""
    return 2 ** (len(self.num_encoder_blocks) - 1)

  @property
  def latent_shape(self):
    """(h, w, C)."""
    side = self.size // self.factor
    return side, side, self.latent_channels


# By the name of what was published: its configuration at 512 px.
PUBLISHED = {"taesd": Config(512)}


class TaesdTokenizer(PictureTokenizer):
  """The Tokenizer; see the package `tokenizers`."""

  kind = "taesd"

  def encoded(self, params, picture_BYX3):
    """See `PictureTokenizer`."""
    return Network(self.config).apply(
      {"params": params}, picture_BYX3, method="encode"
    )

  def decoded(self, params, raw_BhwC):
    """See `PictureTokenizer`."""
    pictures_BYX3 = Network(self.config).apply(
      {"params": params}, raw_BhwC, method="decode"
    )
    return jnp.clip(pictures_BYX3, 0.0, 1.0)


def abstract(config):
  """The tokenizer with shapes for weights."""
  return pictures.abstract(TaesdTokenizer, Network(config), config)


load = functools.partial(pretrained.load, _KIND)
rules = functools.partial(pretrained.rules, _KIND)


def recognises(source):
  """Whether a Source is an AutoencoderTiny."""
  if "_class_name" in source.config:
    return source.config["_class_name"] == _CLASS
  sign = "encoder.layers.0.weight", "decoder.layers.0.weight"
  return set(sign) <= set(source.names)


def imported(source, size):
  """The tokenizer of diffusers' AutoencoderTiny, for pictures of `size` pixels.

  The first author's files hold half of one each and are named otherwise; they
  are not read.

  Raises:
    UserError: it is another network, or not whole.
  """
  free = defaults(Config, ("size",))
  said = settings(
    source,
    free | {"scaling_factor": 1.0, "shift_factor": 0.0},
    {
      "act_fn": ["relu"],
      "upsample_fn": ["nearest"],
      "upsampling_scaling_factor": [2],
      "in_channels": [3],
      "out_channels": [3],
    },
    # The first two are of latents kept as bytes; the last repeats another key.
    ("latent_magnitude", "latent_shift", "force_upcast", "block_out_channels"),
  )
  scale = pretrained.scale_of(source, said.pop("scaling_factor"))
  shift = said.pop("shift_factor") or 0.0
  config = from_config(Config, {"size": size, **said})
  return pretrained.filled(_KIND, config, source, (shift, 1 / scale))


def foreign(tokenizer):
  """(config.json, {name: array}) that diffusers loads as this tokenizer.

  Raises:
    UserError: its channels have several means or deviations.
  """
  scale, shift = pretrained.scale_and_shift(tokenizer, _CLASS)
  described = dataclasses.asdict(tokenizer.config)
  del described["size"]
  described |= {
    "_class_name": _CLASS,
    "act_fn": "relu",
    "upsample_fn": "nearest",
    "upsampling_scaling_factor": 2,
    "in_channels": 3,
    "out_channels": 3,
    "scaling_factor": scale,
    "shift_factor": shift,
  }
  return described, to_foreign(tokenizer.arrays(), rules(tokenizer.config))
