"""Whole clips to latents and back, by the steps of a tokenizer.

Dimension key: B clips or pictures, T frames, t latents, s frames of a latent, Y
X picture, h w latent grid, C channels.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.spans import frames_of, latents_of, latents_over
from eartalk_jax.tokenizers import remembers_nothing, to_uint8

# Pictures in one compiled call: 64 are slower than 32 on a CPU, per picture.
# And pixels, since a wide network keeps hundreds of numbers for each of them.
_ROWS, _PIXELS = 32, 2**19


def encode_portraits(tokenizer, pictures_BYX3):
  """Pictures, uint8, each alone -> latents [B h w C], float32."""
  return _in_rows(tokenizer, _encode_rows, pictures_BYX3)


def encode(tokenizer, frames_BTYX3):
  """Clips, uint8, of 1 + k s frames -> latents [B t h w C], float32."""
  frames_BTYX3 = np.asarray(frames_BTYX3)
  if remembers_nothing(tokenizer):
    pictures_BYX3 = frames_BTYX3.reshape(-1, *frames_BTYX3.shape[2:])
    latents_BhwC = encode_portraits(tokenizer, pictures_BYX3)
    return latents_BhwC.reshape(
      *frames_BTYX3.shape[:2], *latents_BhwC.shape[1:]
    )
  params, stride = tokenizer.params, tokenizer.stride
  state, latent_BhwC = _init_encode(tokenizer, params, frames_BTYX3[:, 0])
  latents = [np.asarray(latent_BhwC)]
  for latent in range(1, latents_of(frames_BTYX3.shape[1], stride)):
    part_BsYX3 = frames_BTYX3[:, frames_of(latent, stride)]
    state, latent_BhwC = _encode_step(tokenizer, params, state, part_BsYX3)
    latents.append(np.asarray(latent_BhwC))
  return np.stack(latents, axis=1)


def decode(tokenizer, portrait_BYX3, latents_BthwC):
  """Latents of clips -> their frames [B T Y X 3], uint8.

  Args:
    tokenizer: Tokenizer.
    portrait_BYX3: uint8, what frame 0 is where a latent is several frames.
    latents_BthwC: normalised latents.
  """
  latents_BthwC = np.asarray(latents_BthwC)
  params = tokenizer.params
  if remembers_nothing(tokenizer):
    rows_BhwC = latents_BthwC.reshape(-1, *latents_BthwC.shape[2:])
    frames_BYX3 = _in_rows(tokenizer, _decode_rows, rows_BhwC)
    lead = latents_BthwC.shape[:2]
    return frames_BYX3.reshape(*lead, *frames_BYX3.shape[1:])
  first_BhwC, *later = np.moveaxis(latents_BthwC, 1, 0)
  state = _init_decode(tokenizer, params, portrait_BYX3, first_BhwC)
  if tokenizer.stride == 1:
    later = [first_BhwC, *later]
    frames = []
  else:
    frames = [np.asarray(portrait_BYX3)[:, None]]
  # What is late comes with a few latents more.
  for number, latent_BhwC in enumerate([*later, *later[-1:] * tokenizer.delay]):
    state, frames_BsYX3 = _decode_step(tokenizer, params, state, latent_BhwC)
    if number >= tokenizer.delay:
      frames.append(np.asarray(frames_BsYX3))
  return np.concatenate(frames, axis=1)


def round_trip(tokenizer, frames_BTYX3):
  """Clips of any length, uint8, encoded and decoded, uint8 [B T Y X 3].

  Where a latent is several frames, the first of them stays what it is.
  """
  frames = frames_BTYX3.shape[1]
  whole = frames_of(
    latents_over(frames, tokenizer.stride) - 1, tokenizer.stride
  ).stop
  filled = ((0, 0), (0, whole - frames), (0, 0), (0, 0), (0, 0))
  filled_BTYX3 = np.pad(frames_BTYX3, filled, "edge")
  latents_BthwC = encode(tokenizer, filled_BTYX3)
  return decode(tokenizer, frames_BTYX3[:, 0], latents_BthwC)[:, :frames]


@functools.partial(jax.jit, static_argnums=0)
def _encode_rows(tokenizer, params, pictures_BYX3):
  return tokenizer.encode_portrait(params, _to_unit(pictures_BYX3))


@functools.partial(jax.jit, static_argnums=0)
def _decode_rows(tokenizer, params, latents_BhwC):
  latents_BhwC = latents_BhwC.astype(jnp.float32)
  _, frames_B1YX3 = tokenizer.decode_step(params, (), latents_BhwC)
  return to_uint8(frames_B1YX3[:, 0])


@functools.partial(jax.jit, static_argnums=0)
def _init_encode(tokenizer, params, portrait_BYX3):
  return tokenizer.init_encode(params, _to_unit(portrait_BYX3))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def _encode_step(tokenizer, params, state, frames_BsYX3):
  return tokenizer.encode_step(params, state, _to_unit(frames_BsYX3))


@functools.partial(jax.jit, static_argnums=0)
def _init_decode(tokenizer, params, portrait_BYX3, latent_BhwC):
  return tokenizer.init_decode(params, _to_unit(portrait_BYX3), latent_BhwC)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def _decode_step(tokenizer, params, state, latent_BhwC):
  latent_BhwC = latent_BhwC.astype(jnp.float32)
  state, frames_BsYX3 = tokenizer.decode_step(params, state, latent_BhwC)
  return state, to_uint8(frames_BsYX3)


def _to_unit(pictures):
  return pictures.astype(jnp.float32) / 255


def _in_rows(tokenizer, function, rows_B):
  """Applies a compiled function of params and rows, a few sizes at a time.

  Sizes are powers of two, so that streaming with odd chunks compiles little.
  """
  rows_B = np.asarray(rows_B)
  pixels = math.prod(tokenizer.picture_shape)
  most = min(_ROWS, 1 << max(_PIXELS // pixels, 1).bit_length() - 1)
  size = min(most, 1 << max(len(rows_B) - 1, 0).bit_length())
  done = []
  for start in range(0, len(rows_B), size):
    part_B = rows_B[start : start + size]
    missing = size - len(part_B)
    padding = [(0, missing)] + [(0, 0)] * (part_B.ndim - 1)
    made_B = function(tokenizer, tokenizer.params, np.pad(part_B, padding))
    done.append(np.asarray(made_B)[: len(part_B)])
  if not done:
    raise ValueError("there are no frames")
  return np.concatenate(done)
