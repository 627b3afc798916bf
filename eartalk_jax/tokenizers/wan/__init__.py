"""The kind `wan`: the causal video autoencoder of Wan 2.1 and 2.2.

AutoencoderKLWan of diffusers. The first frame is a latent by itself, every
later latent is four frames. Both ways see the past alone, two frames in each
convolution, so a stream is the whole clip's function, to rounding. Its state is
large: 620 million numbers for a decoder 2.1 at 512 px, in proportion to the
picture's area.

Frame 0 goes through functions of its own (`init_encode`, `init_decode`), so a
step is one program.

Dimension key: B clips, s frames of a latent, Y X picture, h w latent grid, C
channels.
"""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import by_name, flat, shapes_of
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.tokenizers import pretrained
from eartalk_jax.tokenizers.pretrained import Pretrained, to_signed, to_unit
from eartalk_jax.tokenizers.wan.config import MEAN, PUBLISHED, STD, Config
from eartalk_jax.tokenizers.wan.network import Network
from eartalk_jax.tokenizers.wan.originals import is_original, renamed_original

__all__ = [
  "PUBLISHED",
  "Config",
  "WanTokenizer",
  "abstract",
  "foreign",
  "imported",
  "init",
  "load",
  "recognises",
  "rules",
]

_KIND = sys.modules[__name__]
_CLASS = "AutoencoderKLWan"
_OF_22 = "encoder.down_blocks.0.resnets.0.norm1.gamma"


class WanTokenizer(Pretrained):
  """The Tokenizer; see the package `tokenizers`."""

  kind = "wan"
  delay = 0

  @property
  def stride(self):
    """s."""
    return self.config.stride

  def encode_portrait(self, params, picture_BYX3):
    """See `Tokenizer`."""
    return self.init_encode(params, picture_BYX3)[1]

  def init_encode(self, params, portrait_BYX3):
    """See `Tokenizer`."""
    return self.encode_step(params, None, portrait_BYX3[:, None])

  def encode_step(self, params, state, frames_BsYX3):
    """See `Tokenizer`."""
    (mean_B1hwC, _), state = self._apply(
      params, to_signed(frames_BsYX3), state, "encode_on"
    )
    return state, self.normal(mean_B1hwC[:, 0])

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    """See `Tokenizer`; the portrait's latent is decoded, its frame dropped."""
    del portrait_BYX3
    return self.decode_step(params, None, portrait_BhwC)[0]

  def decode_step(self, params, state, latent_BhwC):
    """See `Tokenizer`."""
    raw_B1hwC = self.raw(latent_BhwC)[:, None]
    frames_BsYX3, state = self._apply(params, raw_B1hwC, state, "decode_on")
    return state, to_unit(frames_BsYX3)

  def _apply(self, params, x, state, method):
    network = Network(self.config)
    return network.apply({"params": params}, x, state, method=method)


def init(config):
  """key -> parameters of the Network, for training it from the beginning."""

  def init(key):
    # Of two latents: in the first alone nothing is joined in time.
    shape = (1, 1 + config.stride, config.size, config.size, 3)
    return Network(config).init(key, jnp.zeros(shape))["params"]

  return init


@functools.lru_cache(maxsize=4)  # an import asks for it several times
def abstract(config):
  """The tokenizer with shapes for weights."""
  return pretrained.abstract(
    WanTokenizer, config, lambda: init(config)(jax.random.key(0))
  )


load = functools.partial(pretrained.load, _KIND)


def recognises(source):
  """Whether a Source is an AutoencoderKLWan."""
  if "_class_name" in source.config:
    return source.config["_class_name"] == _CLASS
  return is_original(source) or {
    "post_quant_conv.weight",
    "decoder.up_blocks.0.resnets.0.norm1.gamma",
    "decoder.mid_block.attentions.0.to_qkv.weight",
  } <= set(source.names)


def rules(config):
  """{path of a parameter: Rule}."""
  rules = by_name(shapes_of(abstract(config).params))
  for path, rule in rules.items():
    if path.endswith("/gamma"):
      ones = (1, 1) if "/attentions_" in path else (1, 1, 1)
      rules[path] = flat(rule.name, *ones)
  return rules


def imported(source, size):
  """The tokenizer of diffusers' AutoencoderKLWan, for `size` pixels.

  Raises:
    UserError: it is another network, or not whole.
  """
  if not source.config and _OF_22 in source.names:
    raise UserError(
      f"{source.where} is Wan 2.2 without a config.json, which has the "
      "statistics of its latents; put that beside it"
    )
  free = defaults(Config, ("size",))
  patch = source.config.get("patch_size")
  pixels = 3 * patch**2 if isinstance(patch, int) else 3
  said = settings(
    source,
    free | {"latents_mean": MEAN, "latents_std": STD},
    {
      "attn_scales": [[]],
      "in_channels": [pixels],
      "out_channels": [pixels],
    },
    # Decoded frames are always clipped; the factors follow from the rest.
    ("clip_output", "dropout", "scale_factor_temporal", "scale_factor_spatial"),
  )
  statistics = said.pop("latents_mean"), said.pop("latents_std")
  config = from_config(Config, {"size": size, **said})
  if is_original(source):
    source = renamed_original(source)
  return pretrained.filled(_KIND, config, source, statistics)


def foreign(tokenizer):
  """(config.json, {name: array}) that diffusers loads as this tokenizer."""
  c = tokenizer.config
  described = dataclasses.asdict(c)
  del described["size"]
  described |= {
    "_class_name": _CLASS,
    "attn_scales": [],
    "dropout": 0.0,
    "dim_mult": list(c.dim_mult),
    "temperal_downsample": list(c.temperal_downsample),
    "in_channels": 3 * c.patch**2,
    "out_channels": 3 * c.patch**2,
    "scale_factor_temporal": c.stride,
    "scale_factor_spatial": c.factor,
    "latents_mean": tokenizer.mean_C.tolist(),
    "latents_std": tokenizer.std_C.tolist(),
  }
  return described, to_foreign(tokenizer.arrays(), rules(c))
