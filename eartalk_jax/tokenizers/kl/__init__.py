"""The kind `kl`: the picture autoencoder of latent diffusion models.

AutoencoderKL of diffusers, such as sd-vae-ft-mse: 8 x 8 pixels become 4
numbers. A latent is a frame, and nothing is remembered from one to the next.

Dimension key: B pictures, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
import re
import sys

from eartalk_jax.config import check_range, from_config
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.tokenizers import pictures, pretrained
from eartalk_jax.tokenizers.kl.network import Network
from eartalk_jax.tokenizers.kl.originals import is_original, renamed_original
from eartalk_jax.tokenizers.pictures import PictureTokenizer
from eartalk_jax.tokenizers.pretrained import to_signed, to_unit

_KIND = sys.modules[__name__]
_CLASS = "AutoencoderKL"


@dataclasses.dataclass(frozen=True)
class Config:
  """What the network is made of, by the names of diffusers.

  Attributes:
    size: rows and columns of a picture.
    latent_channels: C.
    block_out_channels: width at each resolution, each half of the one before.
    layers_per_block: residual blocks of a resolution; the decoder has one more.
    norm_num_groups: groups of the norms.
    mid_block_add_attention, use_quant_conv, use_post_quant_conv: whether it has
      these parts.
  """

  size: int
  latent_channels: int = 4
  block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
  layers_per_block: int = 2
  norm_num_groups: int = 32
  mid_block_add_attention: bool = True
  use_quant_conv: bool = True
  use_post_quant_conv: bool = True

  def __post_init__(self):
    check_range(self, 1, 4096, "latent_channels", "norm_num_groups")
    check_range(self, 1, 64, "layers_per_block")
    if not 1 <= len(self.block_out_channels) <= 8:
      raise ValueError("block_out_channels must have 1 to 8 entries")
    for width in self.block_out_channels:
      if not 0 < width <= 65_536 or width % self.norm_num_groups:
        raise ValueError(
          f"block_out_channels {width} is no multiple of norm_num_groups "
          f"{self.norm_num_groups}"
        )
    pretrained.check_size(self, self.factor)

  @property
  def factor(self):
    """Pixels on a latent's side."""
    return 2 ** (len(self.block_out_channels) - 1)

  @property
  def latent_shape(self):
    """(h, w, C)."""
    side = self.size // self.factor
    return side, side, self.latent_channels


# By the name of what was published: its configuration at 512 px, and what a
# latent is multiplied by.
PUBLISHED = {"sd-vae-ft-mse": Config(512)}
_SCALING = 0.18215


class KlTokenizer(PictureTokenizer):
  """The Tokenizer; see the package `tokenizers`."""

  kind = "kl"

  def encoded(self, params, picture_BYX3):
    """See `PictureTokenizer`."""
    return self._apply(params, to_signed(picture_BYX3), "encode")[0]

  def decoded(self, params, raw_BhwC):
    """See `PictureTokenizer`."""
    return to_unit(self._apply(params, raw_BhwC, "decode"))

  def _apply(self, params, x, method):
    network = Network(self.config)
    return network.apply({"params": params}, x, method=method)


def abstract(config):
  """The tokenizer with shapes for weights."""
  return pictures.abstract(KlTokenizer, Network(config), config)


load = functools.partial(pretrained.load, _KIND)
rules = functools.partial(pretrained.rules, _KIND)


def recognises(source):
  """Whether a Source is an AutoencoderKL."""
  if "_class_name" in source.config:
    return source.config["_class_name"] == _CLASS
  return (
    is_original(source)
    or "quant_conv.weight" in source.names
    and ("encoder.down_blocks.0.resnets.0.norm1.weight" in source.names)
  )


def imported(source, size):
  """The tokenizer of diffusers' AutoencoderKL, for pictures of `size` pixels.

  Raises:
    UserError: it is another network, or not whole.
  """
  free = defaults(Config, ("size",))
  said = settings(
    source,
    free
    | {
      "scaling_factor": _SCALING,
      "shift_factor": None,
      "latents_mean": None,
      "latents_std": None,
    },
    {
      "act_fn": ["silu"],
      "in_channels": [3],
      "out_channels": [3],
      "down_block_types": _blocks("DownEncoderBlock2D"),
      "up_block_types": _blocks("UpDecoderBlock2D"),
    },
    ("sample_size", "force_upcast"),
  )
  scale = pretrained.scale_of(source, said.pop("scaling_factor"))
  shift = said.pop("shift_factor") or 0.0
  mean, std = said.pop("latents_mean"), said.pop("latents_std")
  statistics = shift if mean is None else mean, 1.0 if std is None else std
  statistics = statistics[0], [x / scale for x in _listed(statistics[1])]
  config = from_config(Config, {"size": size, **said})
  if is_original(source):
    source = renamed_original(source)
  return pretrained.filled(_KIND, config, _of_now(source), statistics)


def foreign(tokenizer):
  """(config.json, {name: array}) that diffusers loads as this tokenizer."""
  c = tokenizer.config
  described = dataclasses.asdict(c)
  described["sample_size"] = described.pop("size")
  described |= {
    "_class_name": _CLASS,
    "act_fn": "silu",
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * len(c.block_out_channels),
    "up_block_types": ["UpDecoderBlock2D"] * len(c.block_out_channels),
    "scaling_factor": 1.0,
    "latents_mean": tokenizer.mean_C.tolist(),
    "latents_std": tokenizer.std_C.tolist(),
  }
  return described, to_foreign(tokenizer.arrays(), rules(c))


def _blocks(name):
  return [[name] * count for count in range(1, 9)]


def _listed(numbers):
  return numbers if isinstance(numbers, list) else [numbers]


# As files from before 2023 call the attention's parts.
_OLD = {
  "query": "to_q",
  "key": "to_k",
  "value": "to_v",
  "proj_attn": "to_out.0",
}


def _of_now(source):
  """The same with the names of today."""

  def now(name):
    return re.sub(
      rf"(attentions\.0\.)({'|'.join(_OLD)})\.",
      lambda found: f"{found[1]}{_OLD[found[2]]}.",
      name,
    )

  return source.renamed({name: now(name) for name in source.names})
