"""The kind `ltx`: the video autoencoder of LTX-Video, 0.9.0 to 0.9.8.

AutoencoderKLLTXVideo of diffusers: 8 frames of 32 x 32 pixels become 128
numbers. The encoder is causal and streams exactly. The decoder looks 20 to 30
latents ahead; it is streamed by windows (`chunks.chunked` says of what): each
step decodes `context` latents, one, and `delay` more, and shows the frames of
the one, `delay` latents late.

Versions from 0.9.1 on were trained to decode latents with a little noise, and
are told how much, `decode_timestep`. They are told it here as well, but no
noise is added: decoding stays a function of the latents, and latents that a
model makes are not exact anyway. What noise 0.9.1 adds within is the same in
every frame of every clip (`decoder.field`).

Dimension key: B clips, T frames, t latents, s = stride, Y X picture, h w latent
grid, C channels.
"""

import dataclasses
import functools
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import by_name, flat, shapes_of
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.tokenizers import pretrained
from eartalk_jax.tokenizers.ltx import originals
from eartalk_jax.tokenizers.ltx.config import PLAIN, PUBLISHED, Config, version
from eartalk_jax.tokenizers.ltx.network import Network
from eartalk_jax.tokenizers.pretrained import Pretrained, to_signed, to_unit

_KIND = sys.modules[__name__]
_CLASS = "AutoencoderKLLTXVideo"
_STATISTICS = ("latents_mean", "latents_std")
_OURS = ("size", "decode_timestep", "context", "delay")
# What diffusers' config.json can say and all versions have alike.
_FIXED = {
  "in_channels": [3],
  "out_channels": [3],
  "patch_size": [4],
  "patch_size_t": [1],
  "resnet_norm_eps": [1e-6],
  "encoder_causal": [True],
  "decoder_causal": [False],
}
_PUBLISHED_CHANNELS = 128


class LtxTokenizer(Pretrained):
  """The Tokenizer; see the package `tokenizers`."""

  kind = "ltx"

  @property
  def stride(self):
    """Frames of a latent."""
    return self.config.stride

  @property
  def delay(self):
    """Latents that decode_step waits for."""
    return self.config.delay

  def encode_portrait(self, params, picture_BYX3):
    """See `Tokenizer`."""
    return self.init_encode(params, picture_BYX3)[1]

  def init_encode(self, params, portrait_BYX3):
    """See `Tokenizer`."""
    return self.encode_step(params, None, portrait_BYX3[:, None])

  def encode_step(self, params, state, frames_BsYX3):
    """See `Tokenizer`."""
    signed_BsYX3 = to_signed(frames_BsYX3)
    mean_B1hwC, _, state = self._apply(params, "encode", signed_BsYX3, state)
    return state, self.normal(mean_B1hwC[:, 0])

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    """See `Tokenizer`.

    The state is what the next window begins with, and how much of that lies
    before the clip. There the portrait's latent is put, and not looked at.
    """
    del params, portrait_BYX3
    before = self.config.context + self.config.delay
    return {
      "latents_BthwC": jnp.repeat(portrait_BhwC[:, None], before, axis=1),
      "start_B": jnp.full(len(portrait_BhwC), before - 1, jnp.int32),
    }

  def decode_step(self, params, state, latent_BhwC):
    """See `Tokenizer`."""
    latents = state["latents_BthwC"], latent_BhwC[:, None]
    window_BthwC = jnp.concatenate(latents, axis=1)
    start_B, stop = state["start_B"], self.config.context * self.stride + 1
    raw_BthwC = self.raw(window_BthwC)
    frames_BTYX3 = self._apply(params, "decode", raw_BthwC, start_B)
    state = {
      "latents_BthwC": window_BthwC[:, 1:],
      "start_B": jnp.maximum(start_B - 1, 0),
    }
    return state, to_unit(frames_BTYX3[:, stop - self.stride : stop])

  def _apply(self, params, method, *args):
    network = Network(self.config)
    return network.apply({"params": params}, *args, method=method)


@functools.lru_cache(maxsize=4)  # an import asks for it several times
def abstract(config):
  """The tokenizer with shapes for weights."""

  def init():
    frame_11YX3 = jnp.zeros((1, 1, config.size, config.size, 3))
    return Network(config).init(jax.random.key(0), frame_11YX3)["params"]

  return pretrained.abstract(LtxTokenizer, config, init)


load = functools.partial(pretrained.load, _KIND)


def recognises(source):
  """Whether a Source is an AutoencoderKLLTXVideo."""
  if "_class_name" in source.config:
    return source.config["_class_name"] == _CLASS
  signs = {"encoder.conv_in.conv.weight", *_STATISTICS}
  return originals.is_original(source) or signs <= set(source.names)


def rules(config):
  """{path of a parameter: Rule}."""
  found = by_name(shapes_of(abstract(config).params))
  for path, rule in found.items():
    # The two layers of an embedder are no list.
    name = rule.name.replace(".linear.", ".linear_")
    found[path] = dataclasses.replace(rule, name=name)
    if "per_channel_scale" in path:
      found[path] = flat(name, 1, 1)
  return found


def imported(source, size):
  """The tokenizer of an LTX-Video, for pictures of `size` pixels.

  A single file without config.json is of what was published, and its tensors
  tell of which version.

  Raises:
    UserError: it is another network, of another version than its config.json
      says, not whole, or its latent statistics cannot be those of LTX-Video.
  """
  original = originals.is_original(source)
  if original:
    source = originals.alone(source)
  found = _version_of(source)
  if source.config:
    config, scale = _configured(source, size)
    if version(config) != found:
      raise UserError(
        f"{source.where}: config.json is of LTX-Video {version(config)}, but "
        f"the tensors are of {found}; get both from the same version"
      )
  else:
    published = PUBLISHED[f"ltx{found}"]
    config, scale = dataclasses.replace(published, size=size), 1.0
  if original:
    names = [rule.name for rule in rules(config).values()]
    source = originals.of_diffusers(source, config, [*names, *_STATISTICS])
  statistics = _statistics(source, scale)
  return pretrained.filled(_KIND, config, source, statistics, _STATISTICS)


def foreign(tokenizer):
  """(config.json, {name: array}) that diffusers loads as this tokenizer."""
  c = tokenizer.config
  described = dataclasses.asdict(c)
  for name in _OURS:
    del described[name]
  described |= {name: value for name, (value,) in _FIXED.items()}
  described |= {
    "_class_name": _CLASS,
    "scaling_factor": 1.0,
    "spatial_compression_ratio": c.factor,
    "temporal_compression_ratio": c.stride,
  }
  arrays = to_foreign(tokenizer.arrays(), rules(c))
  arrays |= {"latents_mean": tokenizer.mean_C, "latents_std": tokenizer.std_C}
  return described, arrays


def _version_of(source):
  """As `config.version`, by the names of tensors."""
  names = "\n".join(source.names)
  rearranged = (
    r"(?m)^encoder\.down_blocks\.\d+(\.downsamplers\.0)?\.conv\.conv\."
  )
  if re.search(rearranged, names):
    return "0.9.5"
  return "0.9.1" if "time_embedder." in names else "0.9.0"


def _configured(source, size):
  """(Config, scaling_factor) that config.json says."""
  if set(_STATISTICS) & source.config.keys():
    raise UserError(
      f"{source.where}/config.json has latent statistics, and those of "
      "LTX-Video are among its tensors: latents would be normalised twice; get "
      "config.json and weights from the same place"
    )
  free = defaults(Config, _OURS)
  ignored = "spatial_compression_ratio", "temporal_compression_ratio"
  free |= _early(source.config) | {"scaling_factor": 1.0}
  said = settings(source, free, _FIXED, ignored)
  scale = said.pop("scaling_factor")
  if not (isinstance(scale, (int, float)) and 0 < scale < 1e6):
    raise UserError(
      f"{source.where}/config.json: scaling_factor is {scale!r}; it must be a "
      "number above 0"
    )
  return from_config(Config, {"size": size, **said}), scale


def _early(config):
  """What is meant where a config.json of 0.9.0 is silent of the decoder."""
  lists = {
    name: config[name]
    for name in (
      "block_out_channels",
      "layers_per_block",
      "spatio_temporal_scaling",
    )
    if name in config
  }
  blocks = config.get("block_out_channels", ())
  count = len(blocks) if isinstance(blocks, (list, tuple)) and blocks else 4
  return {f"decoder_{name}": value for name, value in lists.items()} | {
    "down_block_types": (PLAIN,) * count,
    "downsample_type": ("conv",) * count,
    "decoder_inject_noise": (False,) * (count + 1),
    "upsample_residual": (False,) * count,
    "upsample_factor": (1,) * count,
  }


def _statistics(source, scale):
  """(mean, std) of latents, which lie among the tensors.

  Raises:
    UserError: there are none, or those with which diffusers begins. Latents of
      such a file are not normalised, or were where it was made, and then they
      would be a second time by whoever knows LTX-Video's statistics.
  """
  missing = [name for name in _STATISTICS if name not in source.names]
  if missing:
    raise UserError(
      f"{source.where} lacks {' and '.join(missing)}, by which LTX-Video's "
      "latents are normalised; get the whole file of the autoencoder"
    )
  mean_C, std_C = map(source.tensor, _STATISTICS)
  plain = not mean_C.any() and (std_C == 1).all()
  if plain and mean_C.shape == (_PUBLISHED_CHANNELS,):
    raise UserError(
      f"{source.where}: its latents_mean and latents_std are 0 and 1, so its "
      "latents are not normalised, or would be twice; get the file of "
      "LTX-Video's authors"
    )
  return mean_C, np.asarray(std_C) / scale
