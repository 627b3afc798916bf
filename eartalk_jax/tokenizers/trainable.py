"""What trains a tokenizer: its network, before there are latent statistics.

A kind that is trained here has a class for it, a line in KINDS and one in
`training.sharding.TOKENIZER_RULES`.

Dimension key: B clips, T frames, t latents, Y X picture, h w latent grid, C
channels.
"""

import dataclasses
from typing import Any, ClassVar, Literal, Protocol, Union

import jax
import numpy as np

from eartalk_jax.tokenizers import Tokenizer, patches
from eartalk_jax.tokenizers.ltx import training as ltx
from eartalk_jax.tokenizers.wan import training as wan

KINDS = {
  "patches": patches.Trainable,
  "ltx": ltx.Trainable,
  "wan": wan.Trainable,
}


class Trainable(Protocol):
  """A network of a configuration; pure functions of its parameters.

  Attributes:
    kind: among KINDS.
    Config: the class of its configuration, with `size`, pixels of a side.
    config: of the kind.
    stride: frames of every latent but the first.
    crops: whether what it learns from parts of pictures is true of whole ones.
  """

  kind: ClassVar[str]
  Config: ClassVar[type]
  config: Any
  stride: int
  crops: bool

  def init(self, key) -> Any:
    """Parameters before training."""

  def encode(self, params, frames_BTYX3) -> tuple[jax.Array, jax.Array]:
    """Frames in [0, 1] -> mean and log-variance of the latents [B t h w C].

    Where all channels have one variance, its C is 1.
    """

  def decode(self, params, latents_BthwC) -> jax.Array:
    """frames_BTYX3; values may lie a little outside of [0, 1]."""

  def finished(
    self, params, mean_C: np.ndarray, variance_C: np.ndarray
  ) -> Tokenizer:
    """The Tokenizer whose latents, before normalisation, have these."""


def _named(kind, config):
  """A kind's configuration as a config file has it: with its name."""
  return dataclasses.make_dataclass(
    config.__name__,
    [("kind", Literal[kind], kind)],
    bases=(config,),
    frozen=True,
  )


# What `model` of a config file is: `model.kind` says of which.
Model = Union[  # noqa: UP007 (not written out)
  tuple(_named(kind, made.Config) for kind, made in KINDS.items())
]


def trainable(model):
  """The Trainable of a Model."""
  made = KINDS[model.kind]
  names = [field.name for field in dataclasses.fields(made.Config)]
  return made(made.Config(**{name: getattr(model, name) for name in names}))
