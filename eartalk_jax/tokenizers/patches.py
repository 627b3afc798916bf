"""The frame tokenizer: video to latents and back, and its two files.

  DIR/weights.safetensors   the autoencoder's weights, the mean of each latent
                            channel and one deviation for all of them, over the
                            training pictures
  DIR/tokenizer.json        configuration and fingerprint; written last

Everybody else sees NORMALISED latents: zero mean per channel, unit variance
over all. Not per channel: the objective gives each channel a scale by what it
means to the picture, and equal errors should stay equally visible. This file
is the one place where that is done and undone.

Dimension key: B clips, T frames, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from eartalk_jax import files
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers.autoencoder import Autoencoder, TokenizerConfig

VERSION = 4
# Pictures in one compiled call: 64 are slower than 32 on a CPU, per picture.
_ROWS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
  """An autoencoder of single pictures with normalised latents.

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

  # Video frames per latent frame, and steps by which decoding is late.
  stride, delay = 1, 0

  @property
  def latent_shape(self):
    """(h, w, C) of one latent frame."""
    return self.config.latent_shape

  @functools.cached_property
  def fingerprint(self):
    """sha256 over configuration, weights and latent statistics."""
    digest = hashlib.sha256(
      json.dumps(to_dict(self.config), sort_keys=True).encode()
    )
    for name, array in sorted(_arrays(self).items()):
      digest.update(f"{name} {array.dtype} {array.shape}".encode())
      digest.update(array.tobytes())
    return digest.hexdigest()

  def apply_encode(self, pictures_BYX3):
    """Pictures in [0, 1] -> normalised latents [B h w C]; pure."""
    mean_BhwC, _ = Autoencoder(self.config).apply(
      {"params": self.params}, pictures_BYX3, method="encode"
    )
    return (mean_BhwC - self._mean_111C) / self.std

  def apply_decode(self, latents_BhwC):
    """Normalised latents -> pictures in [0, 1], [B Y X 3]; pure."""
    raw_BhwC = latents_BhwC * self.std + self._mean_111C
    pictures_BYX3 = Autoencoder(self.config).apply(
      {"params": self.params}, raw_BhwC, method="decode"
    )
    return jnp.clip(pictures_BYX3, 0.0, 1.0)

  def init_decode(self, batch):
    """State of the streaming decoder before the first latent frame.

    A decoder of single pictures remembers nothing: an empty tree.
    """
    del batch
    return ()

  def decode_step(self, state, latents_BhwC):
    """One latent frame of each stream -> (state, `stride` video frames).

    The frames are [B, stride, Y, X, 3] in [0, 1]; pure.
    """
    return state, self.apply_decode(latents_BhwC)[:, None]

  def encode(self, frames_BTYX3):
    """Video of any length, uint8 -> normalised latents [B T h w C], float32."""
    return self._in_rows(self._encode_rows, frames_BTYX3)

  def decode(self, latents_BThwC):
    """Normalised latents of any length -> video [B T Y X 3], uint8."""
    return self._in_rows(self._decode_rows, latents_BThwC)

  @functools.cached_property
  def _encode_rows(self):
    @jax.jit
    def rows(pictures_BYX3):
      return self.apply_encode(pictures_BYX3.astype(jnp.float32) / 255)

    return rows

  @functools.cached_property
  def _decode_rows(self):
    @jax.jit
    def rows(latents_BhwC):
      pictures_BYX3 = self.apply_decode(latents_BhwC.astype(jnp.float32))
      return jnp.round(pictures_BYX3 * 255).astype(jnp.uint8)

    return rows

  def _in_rows(self, function, clips_BT):
    """Applies a compiled function to all frames, a few fixed sizes at a time.

    Sizes are powers of two, so that streaming with odd chunks compiles little.
    """
    clips_BT = np.asarray(clips_BT)
    frames_B = clips_BT.reshape(-1, *clips_BT.shape[2:])
    rows = min(_ROWS, 1 << max(len(frames_B) - 1, 0).bit_length())
    done = []
    for start in range(0, len(frames_B), rows):
      part_B = frames_B[start : start + rows]
      missing = rows - len(part_B)
      padding = [(0, missing)] + [(0, 0)] * (part_B.ndim - 1)
      out_B = np.asarray(function(np.pad(part_B, padding)))
      done.append(out_B[: rows - missing])
    if not done:
      raise ValueError("there are no frames")
    out_B = np.concatenate(done)
    return out_B.reshape(*clips_BT.shape[:2], *out_B.shape[1:])

  @property
  def _mean_111C(self):
    return jnp.asarray(self.mean_C, jnp.float32)[None, None, None]


def save_tokenizer(directory, tokenizer):
  """Writes the two files, each atomically, the one that vouches last.

  A folder that holds this very tokenizer stays as it is; while it gets another,
  it holds none.

  Raises:
    UserError: the disk is full or not writable.
  """
  directory = pathlib.Path(directory)
  try:
    if load_tokenizer(directory).fingerprint == tokenizer.fingerprint:
      return
  except UserError:
    pass  # none yet, or half of one
  directory.mkdir(parents=True, exist_ok=True)
  (directory / "tokenizer.json").unlink(missing_ok=True)
  with files.replacing(directory / "weights.safetensors") as temporary:
    temporary.write_bytes(save(_arrays(tokenizer)))
  description = {
    "version": VERSION,
    "config": to_dict(tokenizer.config),
    "latent_shape": list(tokenizer.latent_shape),
    "stride": tokenizer.stride,
    "fingerprint": tokenizer.fingerprint,
  }
  files.write_json(directory / "tokenizer.json", description)


def load_tokenizer(directory):
  """Reads what `save_tokenizer` wrote.

  Raises:
    UserError: there is none, or it is damaged, or of another version.
  """
  directory = pathlib.Path(directory)
  config, fingerprint = _read_description(directory)
  damaged = UserError(
    f"the tokenizer in {directory} is damaged (its weights are not those that "
    "tokenizer.json describes); copy or train it again"
  )
  try:
    arrays = load_file(directory / "weights.safetensors")
  except (OSError, SafetensorError) as error:
    raise damaged from error
  if not _fit(arrays, config):
    raise damaged
  mean_C, std = arrays.pop("latent_mean"), arrays.pop("latent_std")
  tokenizer = Tokenizer(
    config=config,
    params=traverse_util.unflatten_dict(arrays, sep="/"),
    mean_C=mean_C,
    std=std,
  )
  if tokenizer.fingerprint != fingerprint:
    raise damaged
  return tokenizer


def _read_description(directory):
  """(TokenizerConfig, fingerprint) of tokenizer.json."""
  path = directory / "tokenizer.json"
  if not path.is_file():
    raise UserError(
      f"there is no tokenizer in {directory} (no tokenizer.json); "
      "python -m launch.train_tokenizer makes one in WORKDIR/tokenizer"
    )
  description = read_json(path, "copy or train it again")
  match description:
    case {"version": version} if version != VERSION:
      raise UserError(
        f"{path} has version {version!r}, but {VERSION} is needed; train it "
        "again"
      )
    case {"version": _, "config": dict(config), "fingerprint": str(found)}:
      try:
        return from_config(TokenizerConfig, config), found
      except (UserError, ArithmeticError) as error:
        problem = str(error)
    case _:
      problem = "it does not say what it describes"
  raise UserError(f"{path} is damaged ({problem}); copy or train it again")


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

  def init():
    picture_1YX3 = jnp.zeros((1, config.size, config.size, 3))
    return Autoencoder(config).init(jax.random.key(0), picture_1YX3)["params"]

  leaves = traverse_util.flatten_dict(jax.eval_shape(init), sep="/")
  return {name: leaf.shape for name, leaf in leaves.items()}


def _arrays(tokenizer):
  """All numbers of a tokenizer by name, in numpy."""
  arrays = traverse_util.flatten_dict(tokenizer.params, sep="/")
  arrays |= {"latent_mean": tokenizer.mean_C, "latent_std": tokenizer.std}
  return {name: np.asarray(array) for name, array in arrays.items()}
