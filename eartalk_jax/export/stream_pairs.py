"""The same streams on both sides: latents and pixels, step by step.

Dimension key: B streams, T latents that are made, F audio features of one, N
tokens, c numbers in a token, h w C latent frame, s video frames of it, Y X
picture.
"""

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.counting import counting
from eartalk_jax.denoising.guidance import make_guidance
from eartalk_jax.export.encoders import (
  decode_step,
  encode_portrait,
  init_decode,
)
from eartalk_jax.export.tensors import torch_signals, torch_tensors
from eartalk_jax.models.signals import Signal, Signals
from eartalk_jax.recipes.ear import stream as streaming
from eartalk_jax.spans import first_made
from eartalk_jax.speech import features
from eartalk_jax.speech.contexts import Reach
from eartalk_jax.tokenizers import to_uint8


def compare_streams(model, params, encoders, exported, inputs, guidance):
  """Streams all scenarios with equal seeds on both sides.

  Each side hears and sees by itself, unless the encoders are another library's:
  these are compared alone, and their rounding would be all that is seen here.

  Args:
    model, params: of the checkpoint.
    encoders: (Tokenizer, Speech) of it.
    exported: (module, EARTalking) of the exported folder.
    inputs: scenarios.Inputs.
    guidance: {signal: scale}.

  Returns:
    {"latents_TB": max abs difference of each latent, "levels_TB": that of the
    pixels that its step shows in levels of 255, "audio": that of all features}
  """
  tokenizer, speech = encoders
  steps = inputs.heard_BT.shape[1]
  audio_BTF = _features(model.cfg, speech, inputs.samples_BS, steps)
  theirs_BTF = _their_features(*exported, inputs.samples_BS, steps)
  heard_BTF = theirs_BTF if speech.step is None else audio_BTF
  sink_BhwC = _sink(tokenizer, inputs)
  own = tokenizer.kind == "patches"
  seen_BhwC = _their_sink(exported[1], inputs) if own else sink_BhwC
  ours = _ours(
    model, params, tokenizer, inputs, (sink_BhwC, audio_BTF), guidance
  )
  theirs = _theirs(*exported, inputs, (seen_BhwC, heard_BTF), guidance)
  latents, levels = [], []
  what = "streams, guided" if guidance else "streams"
  with counting(what, steps, "latents") as advance:
    for one, other in zip(ours, theirs, strict=True):
      away = [
        np.abs(np.asarray(x, np.float64) - np.asarray(y, np.float64))
        for x, y in zip(one, other, strict=True)
      ]
      latents.append(away[0].max(axis=(1, 2, 3)))
      levels.append(away[1].max(axis=(1, 2, 3, 4)))
      advance()
  for void_B in levels[: tokenizer.delay]:  # nothing is shown yet
    void_B[:] = 0
  return {
    "latents_TB": np.stack(latents),
    "levels_TB": np.stack(levels),
    "audio": float(np.abs(audio_BTF - theirs_BTF).max()),
  }


def _features(cfg, speech, samples_BS, steps):
  audio, first = cfg.audio, first_made(cfg.stride)
  reach = Reach(audio.past, audio.ahead, cfg.stride, speech.silence_AF)
  heard = np.stack([features(speech, samples_S) for samples_S in samples_BS])
  return reach.contexts(heard, range(first, first + steps))


def _their_features(module, talker, samples_BS, steps):
  def of_one(samples_S):
    ear = module.Ear(talker.cfg, talker.speech)
    ear.push(samples_S)
    ear.finish()
    return np.stack([ear.take().numpy() for _ in range(steps)])

  return np.stack([of_one(samples_S) for samples_S in samples_BS])


def _signals(inputs, audio_BTF, frame):
  controls = {
    name: Signal(value_BTK[:, frame], given_BT[:, frame])
    for name, (value_BTK, given_BT) in inputs.controls.items()
  }
  return Signals(
    Signal(audio_BTF[:, frame], inputs.heard_BT[:, frame]), controls
  )


def _portrait(inputs, rows, width=0):
  controls = {name: Signal(*known) for name, known in inputs.known.items()}
  silent = Signal(np.zeros((rows, width), np.float32), np.zeros(rows, bool))
  return Signals(silent, controls)


def _sink(tokenizer, inputs):
  """The portraits' latents, by JAX."""
  pictures_BYX3 = jnp.asarray(inputs.portraits_BYX3, jnp.float32) / 255
  return encode_portrait(tokenizer, tokenizer.params, pictures_BYX3)


def _their_sink(talker, inputs):
  """The same by PyTorch."""
  import torch

  with torch.no_grad():
    return talker.tokenizer.encode(torch_tensors(inputs.portraits_BYX3)).numpy()


def _ours(model, params, tokenizer, inputs, told, guidance):
  """Yields (latents_BhwC, pixels_BsYX3) of each step, by JAX."""
  sink_BhwC, audio_BTF = told
  rows, steps = audio_BTF.shape[:2]
  weights = streaming.prepare(params)
  guidance = make_guidance(model.cfg, guidance, rows)
  pictures_BYX3 = jnp.asarray(inputs.portraits_BYX3, jnp.float32) / 255
  decoder = tokenizer.params
  sink_BShwC = jnp.repeat(sink_BhwC[:, None], model.cfg.sinks, axis=1)
  state = streaming.open(
    model,
    weights,
    sink_BShwC,
    jax.vmap(jax.random.key)(np.arange(rows, dtype=np.uint32)),
    _portrait(inputs, rows),
  )
  decoding = init_decode(tokenizer, decoder, pictures_BYX3, sink_BhwC)

  @jax.jit
  def step(weights, state, signals):
    return streaming.step(model, weights, state, signals, guidance)

  for number in range(steps):
    signals = _signals(inputs, audio_BTF, slice(number, number + 1))
    state, latents = step(weights, state, signals)
    decoding, frames = decode_step(tokenizer, decoder, decoding, latents)
    yield latents, to_uint8(frames)


def _theirs(module, talker, inputs, told, guidance):
  """The same by PyTorch."""
  import torch

  sink_BhwC, audio_BTF = told
  rows, steps = audio_BTF.shape[:2]
  names = tuple(sorted(guidance))
  scales = tuple(torch.full((rows,), float(guidance[name])) for name in names)
  guidance = module.Guidance(names, scales)
  seed_B = torch.arange(rows)
  with torch.no_grad():
    sink = torch_tensors(sink_BhwC)[:, None]
    sink = sink.expand(-1, talker.cfg.sinks, -1, -1, -1)
    # Its portraits have audio, which is not given.
    known = _portrait(inputs, rows, audio_BTF.shape[-1])
    state = talker.open(sink, torch_signals(known))
  for number in range(steps):
    with torch.no_grad():
      signals = torch_signals(_signals(inputs, audio_BTF, number))
      noise = module.frame_noise(
        talker.cfg, seed_B, torch.full_like(seed_B, number)
      )
      state, latents = talker.step(state, signals, noise, guidance)
      decoder, frames = talker.tokenizer.step(state.decoder, latents)
      state = state._replace(decoder=decoder)
      pixels = (frames.clamp(0, 1) * 255).round()
    yield latents.numpy(), pixels.numpy()
