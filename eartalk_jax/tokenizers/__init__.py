"""Video to latents and back, whole or as it is made: what every tokenizer does.

A kind of tokenizer is a module here and a line in KINDS. It lives in a folder:

  DIR/weights.safetensors   all of its arrays, latent statistics among them
  DIR/tokenizer.json        kind, configuration and fingerprint; written last

`storing` has what saves and loads it, `coding` what encodes and decodes clips.
Everybody else sees NORMALISED latents, of about zero mean and unit variance: a
tokenizer is the one place where that is done and undone.

Dimension key: B clips, T frames, t latents, s frames of a latent, Y X picture,
h w latent grid, C channels.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers import (
  dcae,
  kl,
  ltx,
  pair,
  patches,
  taehv,
  taesd,
  wan,
)

# Kind -> Kind, a module.
KINDS = {
  "patches": patches,
  "kl": kl,
  "wan": wan,
  "ltx": ltx,
  "dcae": dcae,
  "taesd": taesd,
  "taehv": taehv,
}
KINDS["pair"] = pair.Pairs(KINDS)


class Kind(Protocol):
  """What the module of a kind has. Those that are trained here lack the rest.

  Attributes:
    PUBLISHED: {name of what was published: its configuration at 512 px}.
  """

  PUBLISHED: dict[str, Any]

  def load(self, config, arrays) -> "Tokenizer":
    """The tokenizer of a configuration in JSON and {name: array}, strictly."""

  def abstract(self, config) -> "Tokenizer":
    """The tokenizer with shapes for weights, of a configuration."""

  def recognises(self, source) -> bool:
    """Whether an `importing.sources.Source` is of this kind."""

  def imported(self, source, size) -> "Tokenizer":
    """That of a Source, for pictures of `size` pixels, strictly."""

  def foreign(self, tokenizer) -> tuple[dict, dict]:
    """(config.json, {name: array}) as the original library loads it."""


class Tokenizer(Protocol):
  """An encoder and a decoder of video; pure functions over explicit state.

  Latent 0 is one frame, every later one `stride` frames (`spans`). Its laws:
  encode_portrait gives what init_encode gives as latent 0; a step reads nothing
  that comes later; frames depend on no latent more than `delay` after theirs;
  states keep their size.

  Attributes:
    kind: among KINDS.
    config: of the kind, a frozen dataclass.
    params: its weights; given to jit by the caller.
    stride: s.
    delay: steps by which decode_step is late: the step of latent i shows the
      frames of latent i - delay; what earlier steps show is void.
    picture_shape: (Y, X).
    latent_shape: (h, w, C).
    mean_C, std_C: of latents before normalisation.
    fingerprint: of configuration, weights and statistics.
  """

  kind: str
  config: Any
  params: Any
  stride: int
  delay: int
  picture_shape: tuple[int, int]
  latent_shape: tuple[int, int, int]
  mean_C: np.ndarray
  std_C: np.ndarray
  fingerprint: str

  def arrays(self) -> dict[str, np.ndarray]:
    """All of its numbers by name, as its file has them."""

  def encode_portrait(self, params, picture_BYX3) -> jax.Array:
    """Pictures in [0, 1], each alone -> latent_BhwC."""

  def init_encode(self, params, portrait_BYX3) -> tuple[Any, jax.Array]:
    """The first frames of clips -> (state, latent_BhwC)."""

  def encode_step(self, params, state, frames_BsYX3) -> tuple[Any, jax.Array]:
    """The next frames -> (state, latent_BhwC)."""

  def init_decode(self, params, portrait_BYX3, portrait_BhwC) -> Any:
    """The decoder's state before the first step, primed with a portrait."""

  def decode_step(self, params, state, latent_BhwC) -> tuple[Any, jax.Array]:
    """One latent -> (state, frames_BsYX3 in [0, 1])."""


def to_uint8(frames):
  """Frames in [0, 1] as pixels: the one rounding."""
  return jnp.round(frames * 255).astype(jnp.uint8)


def remembers_nothing(tokenizer):
  """Whether it takes each frame alone: then many go through at once."""
  if tokenizer.stride > 1 or tokenizer.delay:
    return False
  (begun, _), _ = _steps(tokenizer)
  return not jax.tree.leaves(begun)


def _steps(tokenizer):
  """Shapes of a step of each kind.

  Returns:
    (states before and after the step, of encoder and decoder), (latents of
    encode_portrait, init_encode and encode_step, frames of decode_step).
  """
  y, x = tokenizer.picture_shape
  picture_1YX3 = jax.ShapeDtypeStruct((1, y, x, 3), jnp.float32)
  frames = (1, tokenizer.stride, y, x, 3)
  frames_1sYX3 = jax.ShapeDtypeStruct(frames, jnp.float32)

  def run(params, picture_1YX3, frames_1sYX3):
    alone_1hwC = tokenizer.encode_portrait(params, picture_1YX3)
    encoding, first_1hwC = tokenizer.init_encode(params, picture_1YX3)
    encoded, latent_1hwC = tokenizer.encode_step(params, encoding, frames_1sYX3)
    decoding = tokenizer.init_decode(params, picture_1YX3, first_1hwC)
    decoded, made_1sYX3 = tokenizer.decode_step(params, decoding, latent_1hwC)
    states = (encoding, decoding), (encoded, decoded)
    return states, (alone_1hwC, first_1hwC, latent_1hwC, made_1sYX3)

  return jax.eval_shape(run, tokenizer.params, picture_1YX3, frames_1sYX3)


def check(tokenizer):
  """Traces one step of each kind: a tokenizer must do what it declares.

  Raises:
    UserError: latents or frames have another shape, or a state grows.
  """
  (y, x), latent = tokenizer.picture_shape, (1, *tokenizer.latent_shape)
  states, made = _steps(tokenizer)
  found = [tuple(array.shape) for array in made]
  declared = [latent] * 3 + [(1, tokenizer.stride, y, x, 3)]
  names = "encode_portrait", "init_encode", "encode_step", "decode_step"
  for name, one, other in zip(names, found, declared, strict=True):
    if one != other:
      raise UserError(
        f"the tokenizer {tokenizer.kind!r} declares {other} of {name} (stride "
        f"{tokenizer.stride}, latents {tokenizer.latent_shape}) and makes "
        f"{one}; correct what it declares"
      )
  for before, after in zip(*states, strict=True):
    if jax.tree.map(_form, before) != jax.tree.map(_form, after):
      raise UserError(
        f"a state of the tokenizer {tokenizer.kind!r} changes its shape in a "
        "step; it must keep its size"
      )


def _form(array):
  return tuple(array.shape), array.dtype
