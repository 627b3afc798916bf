"""Whether an imported encoder is the function of its original library.

Compared are the largest differences, never the mean: of the whole clip, and of
what a stream makes step by step; of every hidden state, not of the chosen ones.

Dimension key: B clips or windows, T frames, t latents, S samples, N vectors, A
vectors in a frame, F numbers in a vector, D width, Y X picture, h w latent
grid, C channels.
"""

import dataclasses
import pathlib

import jax
import numpy as np
from flax import traverse_util

from eartalk_jax import tokenizers
from eartalk_jax.errors import UserError
from eartalk_jax.jobs.encoder_originals import (
  VIDEO,
  comparable,
  original_speech,
  original_tokenizer,
)
from eartalk_jax.jobs.encoder_pictures import talking_face, vowels
from eartalk_jax.spans import FRAME_SAMPLES, frames_of
from eartalk_jax.speech import load_speech
from eartalk_jax.speech.listening import Listener
from eartalk_jax.speech.pretrained import SILENCE, VECTORS, samples_of
from eartalk_jax.tokenizers.ltx.chunks import chunked
from eartalk_jax.tokenizers.pretrained import to_signed
from eartalk_jax.tokenizers.storing import load_tokenizer

_LATENTS = 4  # of a clip, the first included
_SIDE = 256
_SECONDS = 2.0
_PIECE = 1000  # samples pushed at a time: no divisor of anything


def verify(path, folder, size=None):
  """The largest differences of an encoder from its original.

  Args:
    path: what it was imported from.
    folder: of the encoder.
    size: side of the pictures that are compared; networks take any.

  Returns:
    {"kind", "max_abs", "streamed_max_abs", "scale", "parts": {name: largest
    difference}}; scale is the largest number of the original's output, of any
    part.

  Raises:
    UserError: there is no original to compare with, or a library is missing.
  """
  folder = pathlib.Path(folder)
  if (folder / "speech.json").is_file():
    kind, parts = _verify_speech(path, load_speech(folder))
  else:
    tokenizer = load_tokenizer(folder)
    kind, parts = _verify_tokenizer(path, tokenizer, size)
  errors = {name: error for name, (error, _) in parts.items()}
  return {
    "kind": kind,
    "max_abs": max(v for k, v in errors.items() if "streamed" not in k),
    "streamed_max_abs": max(v for k, v in errors.items() if "streamed" in k),
    "scale": max(scale for _, scale in parts.values()),
    "parts": errors,
  }


def _refuse_others(kind):
  if kind not in comparable():
    raise UserError(
      f"an encoder of kind {kind!r} has no original that could be run here; "
      f"these have: {', '.join(comparable())} (of a pair, each half: import it "
      "alone)"
    )


def _verify_tokenizer(path, tokenizer, size):
  kind = tokenizer.kind
  _refuse_others(kind)
  config, _ = tokenizers.KINDS[kind].foreign(tokenizer)
  theirs = original_tokenizer(kind, path, config)
  size = size or min(tokenizer.picture_shape[0], _SIDE)
  config = dataclasses.replace(tokenizer.config, size=size)
  ours = dataclasses.replace(tokenizer, config=config)
  frames_BTYX3 = _clips(ours)
  latents_BthwC = theirs.encode(frames_BTYX3)
  timestep = getattr(config, "decode_timestep", None)

  def decode(latents_BthwC):
    return theirs.decode(latents_BthwC, timestep)

  wanted = {
    "encode": latents_BthwC,
    "decode": decode(latents_BthwC),
    "streamed encode": latents_BthwC,
  }
  streamed_BTYX3 = wanted["decode"]
  if kind == "ltx":
    streamed_BTYX3 = chunked(decode, latents_BthwC, config)
  elif kind in VIDEO:
    streamed_BTYX3 = streamed_BTYX3[:, 1:]
  wanted["streamed decode"] = np.clip(streamed_BTYX3, 0, 1)
  made = {
    "encode": _whole_encode(ours, frames_BTYX3),
    "decode": _whole_decode(ours, latents_BthwC),
    "streamed encode": _streamed_encode(ours, frames_BTYX3),
    "streamed decode": _streamed_decode(ours, latents_BthwC),
  }
  return kind, {name: _compare(made[name], wanted[name]) for name in made}


def _clips(tokenizer):
  """A drawn face that speaks, and noise: in [0, 1], [B T Y X 3]."""
  frames = frames_of(_LATENTS - 1, tokenizer.stride).stop
  size = tokenizer.picture_shape[0]
  face_TYX3 = talking_face(size, frames).astype(np.float32) / 255
  noise_TYX3 = np.random.default_rng(0).random(face_TYX3.shape, np.float32)
  return np.stack([face_TYX3, noise_TYX3])


def _whole_encode(tokenizer, frames_BTYX3):
  if tokenizer.kind not in VIDEO:
    return _streamed_encode(tokenizer, frames_BTYX3)
  raw_BthwC = _network(tokenizer, "encode", to_signed(frames_BTYX3))[0]
  return tokenizer.normal(raw_BthwC)


def _whole_decode(tokenizer, latents_BthwC):
  """Clipped only where the original does so itself."""
  if tokenizer.kind in VIDEO:
    raw_BthwC = tokenizer.raw(latents_BthwC)
    frames_BTYX3 = (_network(tokenizer, "decode", raw_BthwC) + 1) / 2
    return (
      frames_BTYX3.clip(0, 1) if tokenizer.kind == "wan" else frames_BTYX3
    )
  return np.stack(
    [
      (_network(tokenizer, "decode", tokenizer.raw(latents_BhwC)) + 1) / 2
      for latents_BhwC in np.moveaxis(latents_BthwC, 1, 0)
    ],
    axis=1,
  )


def _network(tokenizer, method, x):
  network = tokenizers.KINDS[tokenizer.kind].Network(tokenizer.config)

  @jax.jit
  def apply(params, x):
    return network.apply({"params": params}, x, method=method)

  return apply(tokenizer.params, x)


def _streamed_encode(tokenizer, frames_BTYX3):
  params, step = tokenizer.params, jax.jit(tokenizer.encode_step)
  state, latent_BhwC = tokenizer.init_encode(params, frames_BTYX3[:, 0])
  latents = [latent_BhwC]
  for latent in range(1, _LATENTS):
    part_BsYX3 = frames_BTYX3[:, frames_of(latent, tokenizer.stride)]
    state, latent_BhwC = step(params, state, part_BsYX3)
    latents.append(latent_BhwC)
  return np.stack(latents, axis=1)


def _streamed_decode(tokenizer, latents_BthwC):
  """The frames of latents 1, 2, ..., or of all where a latent is a frame."""
  params, step = tokenizer.params, jax.jit(tokenizer.decode_step)
  first_BhwC, *later = np.moveaxis(np.asarray(latents_BthwC), 1, 0)
  state, frames = tokenizer.init_decode(params, None, first_BhwC), []
  later = later if tokenizer.kind in VIDEO else [first_BhwC, *later]
  for latent_BhwC in [*later, *later[-1:] * tokenizer.delay]:
    state, frames_BsYX3 = step(params, state, latent_BhwC)
    frames.append(frames_BsYX3)
  return np.concatenate(frames[tokenizer.delay :], axis=1)


def _verify_speech(path, speech):
  _refuse_others(speech.kind)
  theirs = original_speech(speech.kind, path)
  samples_S = vowels(_SECONDS)
  every = _with_all_states(speech)
  windows_BS = _windows(speech, samples_S)
  wanted = theirs.states(windows_BS)
  made = jax.jit(every.hidden)(_weights(speech), windows_BS)
  parts = {
    f"hidden state {number}": _compare(ours, wanted[number])
    for number, ours in enumerate(made)
  }
  chosen = [wanted[number] for number in speech.config.states]
  own = slice(
    VECTORS * speech.config.left,
    VECTORS * (speech.config.left + speech.config.step),
  )
  features_BNF = np.concatenate([x_BND[:, own] for x_BND in chosen], axis=-1)
  features_TAF = features_BNF.reshape(-1, *speech.shape)
  listener = Listener(speech)
  pieces = np.split(samples_S, np.arange(_PIECE, len(samples_S), _PIECE))
  heard = [listener.push(piece) for piece in pieces] + [listener.finish()]
  heard_TAF = np.concatenate(heard)
  parts["streamed features"] = _compare(
    heard_TAF, features_TAF[: len(heard_TAF)]
  )
  return speech.kind, parts


def _with_all_states(speech):
  states = tuple(range(speech.config.last_state + 1))
  config = dataclasses.replace(speech.config, states=states)
  return dataclasses.replace(speech, config=config)


def _weights(speech):
  flat = {k: v for k, v in speech.params.items() if k != SILENCE}
  return traverse_util.unflatten_dict(flat, sep="/")


def _windows(speech, samples_S):
  """All windows of a sound, cut here and not by a Listener: [B S]."""
  step = speech.step * FRAME_SAMPLES
  count = -(-len(samples_S) // step)
  padded_S = np.pad(samples_S, (speech.before, count * step + speech.after))
  starts = step * np.arange(count)
  return padded_S[starts[:, None] + np.arange(samples_of(speech))]


def _compare(made, wanted):
  """(largest difference, largest number wanted).

  Raises:
    UserError: they have not even one shape.
  """
  made, wanted = np.asarray(made), np.asarray(wanted)
  if made.shape != wanted.shape:
    raise UserError(
      f"the original makes {list(wanted.shape)} where this encoder makes "
      f"{list(made.shape)}; import it again, from the folder you name"
    )
  if not np.isfinite(wanted).all():
    raise UserError("the original makes NaN or infinity; get its files again")
  return float(np.abs(made - wanted).max()), float(np.abs(wanted).max())
