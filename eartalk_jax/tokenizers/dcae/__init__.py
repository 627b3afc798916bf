"""The kind `dcae`: an autoencoder of pictures that makes few latents.

AutoencoderDC of diffusers, such as dc-ae-f32c32-sana-1.1: 32 x 32 pixels become
32 numbers. A latent is a frame, and nothing is remembered from one to the next.

Dimension key: B pictures, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
import sys

import numpy as np

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.tokenizers import pictures, pretrained
from eartalk_jax.tokenizers.dcae.config import BY_RESOLUTION, PUBLISHED, Config
from eartalk_jax.tokenizers.dcae.network import Network
from eartalk_jax.tokenizers.pictures import PictureTokenizer
from eartalk_jax.tokenizers.pretrained import to_signed, to_unit

__all__ = [
  "PUBLISHED",
  "Config",
  "DcaeTokenizer",
  "abstract",
  "foreign",
  "imported",
  "load",
  "recognises",
  "rules",
]

_KIND = sys.modules[__name__]
_CLASS = "AutoencoderDC"
_COUNT = "num_batches_tracked"  # of training steps; nothing is made of it


class DcaeTokenizer(PictureTokenizer):
  """The Tokenizer; see the package `tokenizers`."""

  kind = "dcae"

  def encoded(self, params, picture_BYX3):
    """See `PictureTokenizer`."""
    return Network(self.config).apply(
      {"params": params}, to_signed(picture_BYX3), method="encode"
    )

  def decoded(self, params, raw_BhwC):
    """See `PictureTokenizer`."""
    return to_unit(
      Network(self.config).apply({"params": params}, raw_BhwC, method="decode")
    )


def abstract(config):
  """The tokenizer with shapes for weights."""
  return pictures.abstract(DcaeTokenizer, Network(config), config)


load = functools.partial(pretrained.load, _KIND)
rules = functools.partial(pretrained.rules, _KIND)


def recognises(source):
  """Whether a Source is an AutoencoderDC."""
  if "_class_name" in source.config:
    return source.config["_class_name"] == _CLASS
  sign = "decoder.norm_out.weight", "encoder.down_blocks.1.0.conv1.weight"
  return set(sign) <= set(source.names)


def imported(source, size):
  """The tokenizer of diffusers' AutoencoderDC, for pictures of `size` pixels.

  Raises:
    UserError: it is another network, or not whole.
  """
  if not source.config:
    raise UserError(
      f"{source.where}: it has no config.json, without which nobody knows how "
      "the network is made; put the one of diffusers beside it"
    )
  free = defaults(Config, ("size",))
  free |= {"scaling_factor": 1.0}
  said = settings(source, free, {"in_channels": [3]})
  scale = pretrained.scale_of(source, said.pop("scaling_factor"))
  widths = said["encoder_block_out_channels"]
  for name in BY_RESOLUTION:
    # One name stands for all resolutions; so do the defaults, which are tuples.
    alike = isinstance(said[name], str) or (
      name not in source.config and name.endswith(("types", "fns"))
    )
    if alike:
      one = said[name] if isinstance(said[name], str) else said[name][0]
      said[name] = [one] * len(widths)
  config = from_config(Config, {"size": size, **said})
  statistics = 0.0, 1 / scale
  return pretrained.filled(
    _KIND, config, source, statistics, [rf".*\.{_COUNT}"]
  )


def foreign(tokenizer):
  """(config.json, {name: array}) that diffusers loads as this tokenizer.

  Raises:
    UserError: its channels have several means or deviations, or one mean that
      is not 0.
  """
  scale, shift = pretrained.scale_and_shift(tokenizer, _CLASS)
  if shift:
    raise UserError(f"{_CLASS} knows no mean; it cannot be given back")
  described = dataclasses.asdict(tokenizer.config)
  del described["size"]
  described |= {
    "_class_name": _CLASS,
    "in_channels": 3,
    "scaling_factor": scale,
  }
  tensors = to_foreign(tokenizer.arrays(), rules(tokenizer.config))
  for name in list(tensors):
    if name.endswith("running_mean"):
      counted = name.replace("running_mean", _COUNT)
      tensors[counted] = np.zeros((), np.int64)
  return described, tensors
