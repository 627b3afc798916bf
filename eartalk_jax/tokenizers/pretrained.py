"""What tokenizers share whose networks are those of other libraries.

Such networks see pictures in [-1, 1]. Latents have a mean and a deviation for
each channel, kept with the weights, and are normalised and put back here alone.

Dimension key: B pictures or clips, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from eartalk_jax.config import check_range, from_config
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import by_name, fill, shapes_of
from eartalk_jax.tokenizers.hashing import fingerprint_of

STATISTICS = ("latent_mean", "latent_std")
# Log-variance that such a network begins its training with. At 0 the noise of
# the posterior is louder than the latents of a fresh encoder, which then learn
# to say nothing: after 120 steps their deviation had fallen from 0.2 to 0.02.
CERTAIN = -6.0


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
  """What a kind's Tokenizer begins with; see the package for the rest.

  Attributes:
    config: of the kind; has `size`, the side of a picture.
    params: weights of its network.
    mean_C, std_C: of each latent channel before normalisation.
  """

  config: Any
  params: Any
  mean_C: np.ndarray
  std_C: np.ndarray

  @property
  def picture_shape(self):
    """(Y, X)."""
    return self.config.size, self.config.size

  @property
  def latent_shape(self):
    """(h, w, C) of one latent frame."""
    return self.config.latent_shape

  @functools.cached_property
  def fingerprint(self):
    """sha256 over kind, configuration, weights and latent statistics."""
    return fingerprint_of([self.kind, self.config], self.arrays())

  def arrays(self):
    """All numbers by name."""
    arrays = traverse_util.flatten_dict(self.params, sep="/")
    arrays |= {"latent_mean": self.mean_C, "latent_std": self.std_C}
    return {name: np.asarray(array) for name, array in arrays.items()}

  def normal(self, raw_C):
    """Latents of the network, [..., C], as everybody else sees them."""
    return (raw_C - _last(self.mean_C, raw_C)) / _last(self.std_C, raw_C)

  def raw(self, latents_C):
    """The inverse of `normal`."""
    return latents_C * _last(self.std_C, latents_C) + _last(
      self.mean_C, latents_C
    )


def _last(numbers_C, x_C):
  """Numbers of channels for an array whose last axis these are."""
  shape = (1,) * (x_C.ndim - 1) + (-1,)
  return jnp.asarray(numbers_C, jnp.float32).reshape(shape)


def to_signed(pictures):
  """[0, 1] to [-1, 1]."""
  return 2 * pictures - 1


def to_unit(pictures):
  """[-1, 1] to [0, 1]; what is beyond is cut off."""
  return jnp.clip((pictures + 1) / 2, 0.0, 1.0)


def check_size(config, factor):
  """For a configuration's __post_init__: its pictures must divide evenly.

  Raises:
    ValueError: they do not.
  """
  check_range(config, 1, 65_536, "size")
  if config.size % factor:
    raise ValueError(
      f"size {config.size} is not a multiple of {factor}, pixels of a latent"
    )


def scale_of(source, scale):
  """A `scaling_factor` of a config.json: latents are multiplied by it.

  Raises:
    UserError: it is none.
  """
  if isinstance(scale, (int, float)) and 0 < scale < np.inf:
    return scale
  raise UserError(
    f"{source.where}/config.json: scaling_factor is {scale!r}, which is no "
    "scale; download it again"
  )


def scale_and_shift(tokenizer, name):
  """The inverse, (scale, shift), for libraries that have one for all channels.

  Args:
    tokenizer: Tokenizer.
    name: of the class there, for the message.

  Raises:
    UserError: its channels differ in mean or deviation.
  """
  mean_C, std_C = tokenizer.mean_C, tokenizer.std_C
  if (mean_C != mean_C[0]).any() or (std_C != std_C[0]).any():
    raise UserError(
      f"{name} has one scale for all channels, and this tokenizer one for "
      "each; it cannot be given back"
    )
  return float(1 / std_C[0]), float(mean_C[0])


def abstract(tokenizer, config, init):
  """A Tokenizer of that class without numbers: shapes for weights.

  Args:
    tokenizer: class, a Pretrained.
    config: its configuration.
    init: () -> parameters of its network.
  """
  channels = config.latent_shape[-1]
  zeros_C, ones_C = (
    np.zeros(channels, np.float32),
    np.ones(channels, np.float32),
  )
  return tokenizer(config, jax.eval_shape(init), zeros_C, ones_C)


def rules(kind, config):
  """{path of a parameter: Rule} of a network that is named as the original."""
  return by_name(shapes_of(kind.abstract(config).params))


def load(kind, config, arrays, without=()):
  """The tokenizer of a configuration in JSON and all of its arrays.

  Args:
    kind: module of the kind: has `Config` and `abstract`.
    config: dictionary.
    arrays: {name: array}, as `Pretrained.arrays` has them.
    without: parts of the network, by the first name of a path, that are left
      out.

  Raises:
    UserError: they do not belong together.
  """
  config = from_config(kind.Config, config)
  arrays = dict(arrays)
  like = kind.abstract(config)
  wanted = {
    path: shape
    for path, shape in shapes_of(like.params).items()
    if path.split("/")[0] not in without
  }
  wanted |= dict.fromkeys(STATISTICS, like.mean_C.shape)
  if {name: array.shape for name, array in arrays.items()} != wanted:
    raise UserError("its weights are not those that tokenizer.json describes")
  mean_C, std_C = (arrays.pop(name) for name in STATISTICS)
  if not (np.isfinite(mean_C).all() and (std_C > 0).all()):
    raise UserError("its latent statistics are no mean and deviation")
  params = traverse_util.unflatten_dict(arrays, sep="/")
  return type(like)(config, params, mean_C, std_C)


def filled(kind, config, source, statistics, unused=()):
  """A tokenizer out of another library's tensors, strictly.

  Args:
    kind: module of the kind: has `abstract` and `rules(config)`, {path: Rule}.
    config: of the kind.
    source: Source, with the names that the rules use.
    statistics: (mean, std) of the channels; numbers or lists.
    unused: see `filling.fill`.

  Raises:
    UserError: as `fill`; the statistics are none.
  """
  like = kind.abstract(config)
  shapes = shapes_of(like.params)
  arrays = fill(source, kind.rules(config), shapes, unused)
  shape = like.mean_C.shape
  try:
    mean_C, std_C = (
      np.array(np.broadcast_to(np.asarray(x, np.float32), shape))
      for x in statistics
    )
  except (TypeError, ValueError):
    raise UserError(
      f"{source.where}: latent statistics of {shape[0]} channels are needed, "
      f"and it has {statistics}; download config.json again"
    ) from None
  if not (np.isfinite(mean_C).all() and (std_C > 0).all()):
    raise UserError(f"{source.where}: its latent statistics are no deviation")
  params = traverse_util.unflatten_dict(arrays, sep="/")
  return type(like)(config, params, mean_C, std_C)
