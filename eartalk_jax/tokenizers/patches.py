"""The kind `patches`: an autoencoder of single pictures.

Latents are normalised by the mean of each channel and one deviation for all of
them, over the training pictures. Not one per channel: the objective gives each
channel a scale by what it means to the picture, and equal errors should stay
equally visible.

Dimension key: B pictures or clips, T frames, t = T latents, s = 1 frame of a
latent, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers.autoencoder import Autoencoder, TokenizerConfig
from eartalk_jax.tokenizers.hashing import fingerprint_of


@dataclasses.dataclass(frozen=True, eq=False)
class PatchTokenizer:
  """The Tokenizer; it remembers nothing, so its states are empty.

  Attributes:
    config: TokenizerConfig.
    params: weights of the Autoencoder.
    mean_C: mean of each latent channel before normalisation.
    std: one standard deviation, root mean square over the channels.
  """

  config: TokenizerConfig
  params: Any
  mean_C: np.ndarray
  std: np.ndarray

  kind = "patches"
  stride, delay = 1, 0

  @property
  def picture_shape(self):
    """(Y, X)."""
    return self.config.size, self.config.size

  @property
  def latent_shape(self):
    """(h, w, C) of one latent frame."""
    return self.config.latent_shape

  @property
  def std_C(self):
    """The one deviation, for each channel."""
    return np.full_like(self.mean_C, self.std)

  @functools.cached_property
  def fingerprint(self):
    """sha256 over configuration, weights and latent statistics."""
    return fingerprint_of(self.config, self.arrays())

  def arrays(self):
    """All numbers by name."""
    arrays = traverse_util.flatten_dict(self.params, sep="/")
    arrays |= {"latent_mean": self.mean_C, "latent_std": self.std}
    return {name: np.asarray(array) for name, array in arrays.items()}

  def encode_portrait(self, params, picture_BYX3):
    """See `Tokenizer`."""
    mean_BhwC, _ = Autoencoder(self.config).apply(
      {"params": params}, picture_BYX3, method="encode"
    )
    return (mean_BhwC - self._mean_111C) / self.std

  def init_encode(self, params, portrait_BYX3):
    """See `Tokenizer`."""
    return (), self.encode_portrait(params, portrait_BYX3)

  def encode_step(self, params, state, frames_BsYX3):
    """See `Tokenizer`."""
    return state, self.encode_portrait(params, frames_BsYX3[:, 0])

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    """See `Tokenizer`."""
    del params, portrait_BYX3, portrait_BhwC
    return ()

  def decode_step(self, params, state, latent_BhwC):
    """See `Tokenizer`."""
    raw_BhwC = latent_BhwC * self.std + self._mean_111C
    pictures_BYX3 = Autoencoder(self.config).apply(
      {"params": params}, raw_BhwC, method="decode"
    )
    return state, jnp.clip(pictures_BYX3, 0.0, 1.0)[:, None]

  @property
  def _mean_111C(self):
    return jnp.asarray(self.mean_C, jnp.float32)[None, None, None]


@dataclasses.dataclass(frozen=True)
class Trainable:
  """See `tokenizers.trainable`; each frame is a latent."""

  config: TokenizerConfig

  kind, Config = "patches", TokenizerConfig
  stride, crops = 1, False

  def init(self, key):
    """See `Trainable`."""
    return init_params(self.config)(key)

  def encode(self, params, frames_BTYX3):
    """See `Trainable`."""
    return self._each(params, frames_BTYX3, "encode")

  def decode(self, params, latents_BthwC):
    """See `Trainable`."""
    return self._each(params, latents_BthwC, "decode")

  def finished(self, params, mean_C, variance_C):
    """See `Trainable`."""
    std = np.float32(np.sqrt(np.mean(variance_C)))
    return PatchTokenizer(self.config, params, mean_C.astype(np.float32), std)

  def _each(self, params, x_BT, method):
    """A method of the network for each frame alone."""
    network, lead = Autoencoder(self.config), x_BT.shape[:2]
    x_B = x_BT.reshape(-1, *x_BT.shape[2:])
    made = network.apply({"params": params}, x_B, method=method)
    return jax.tree.map(lambda y_B: y_B.reshape(*lead, *y_B.shape[1:]), made)


def init_params(config):
  """key -> parameters of the Autoencoder."""

  def init(key):
    picture_1YX3 = jnp.zeros((1, config.size, config.size, 3))
    return Autoencoder(config).init(key, picture_1YX3)["params"]

  return init


def load(config, arrays):
  """The tokenizer of a configuration and all of its arrays.

  Raises:
    UserError: they do not belong together.
  """
  config, arrays = from_config(TokenizerConfig, config), dict(arrays)
  if not _fit(arrays, config):
    raise UserError("its weights are not those that tokenizer.json describes")
  mean_C, std = arrays.pop("latent_mean"), arrays.pop("latent_std")
  params = traverse_util.unflatten_dict(arrays, sep="/")
  return PatchTokenizer(config, params, mean_C, std)


def _fit(arrays, config):
  """Whether arrays are those of a tokenizer of that configuration.

  Sizes are compared before anything is made by them: they may be absurd.
  """
  c = config
  sizes = (c.size, c.patch, c.channels, c.width, c.heads)
  depths = (c.encoder_depth, c.decoder_depth)
  numbers = sum(array.size for array in arrays.values())
  if not (0 < min(sizes) <= max(sizes) <= numbers):
    return False
  if not (0 <= min(depths) <= max(depths) <= len(arrays)):
    return False
  wanted = {"latent_mean": (c.channels,), "latent_std": ()}
  try:
    wanted |= _shapes(c)
  except (TypeError, ValueError):  # no such dtype
    return False
  if {name: array.shape for name, array in arrays.items()} != wanted:
    return False
  mean_C, std = arrays["latent_mean"], arrays["latent_std"]
  return bool(np.isfinite(mean_C).all() and 0 < std < np.inf)


def _shapes(config):
  """{name: shape} of the autoencoder's weights."""
  params = jax.eval_shape(init_params(config), jax.random.key(0))
  leaves = traverse_util.flatten_dict(params, sep="/")
  return {name: leaf.shape for name, leaf in leaves.items()}
