"""The same streams on both sides: latents and pixels, frame by frame.

Dimension key: B streams, T frames, F audio features, N tokens, c numbers in a
token, h w C latent frame, Y X picture.
"""

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.counting import counting
from eartalk_jax.denoising.guidance import make_guidance
from eartalk_jax.export.tensors import torch_signals, torch_tensors
from eartalk_jax.models.signals import Signal, Signals
from eartalk_jax.recipes.ear import stream as streaming
from eartalk_jax.speech import features, open_speech
from eartalk_jax.speech.contexts import Reach
from eartalk_jax.tokenizers import to_uint8


def compare_streams(model, params, tokenizer, exported, inputs, guidance):
  """Streams all scenarios with equal seeds on both sides.

  Args:
    model, params, tokenizer: of the checkpoint.
    exported: (module, EARTalking) of the exported folder.
    inputs: scenarios.Inputs.
    guidance: {signal: scale}.

  Returns:
    {"latents_TB": max abs difference of each frame, "levels_TB": that of its
    pixels in levels of 255, "audio": that of all features}
  """
  audio_BTF = _features(model.cfg.audio, inputs.samples_BS)
  theirs_BTF = _their_features(*exported, inputs.samples_BS)
  ours = _ours(model, params, tokenizer, inputs, audio_BTF, guidance)
  theirs = _theirs(*exported, inputs, theirs_BTF, guidance)
  latents, levels = [], []
  what = "streams, guided" if guidance else "streams"
  with counting(what, audio_BTF.shape[1], "frames") as advance:
    for one, other in zip(ours, theirs, strict=True):
      away = [
        np.abs(np.asarray(x, np.float64) - np.asarray(y, np.float64))
        for x, y in zip(one, other, strict=True)
      ]
      latents.append(away[0].max(axis=(1, 2, 3)))
      levels.append(away[1].max(axis=(1, 2, 3)))
      advance()
  return {
    "latents_TB": np.stack(latents),
    "levels_TB": np.stack(levels),
    "audio": float(np.abs(audio_BTF - theirs_BTF).max()),
  }


def _features(audio, samples_BS):
  speech = open_speech(f"mel:{audio.bins}")
  reach = Reach(audio.past, audio.ahead, 1, speech.silence_AF)
  heard = np.stack([features(speech, samples_S) for samples_S in samples_BS])
  return reach.contexts(heard, range(heard.shape[1]))


def _their_features(module, talker, samples_BS):
  def of_one(samples_S):
    ear = module.Ear(talker.cfg)
    ear.push(samples_S)
    ear.finish()
    return np.stack([ear.take().numpy() for _ in range(ear.ready)])

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


def _ours(model, params, tokenizer, inputs, audio_BTF, guidance):
  """Yields (latents_BhwC, pixels_BYX3) of each frame, by JAX."""
  rows, frames = audio_BTF.shape[:2]
  weights = streaming.prepare(params)
  guidance = make_guidance(model.cfg, guidance, rows)
  pictures_BYX3 = jnp.asarray(inputs.portraits_BYX3, jnp.float32) / 255
  decoder = tokenizer.params
  sink_BhwC = jax.jit(tokenizer.encode_portrait)(decoder, pictures_BYX3)
  sink_BShwC = jnp.repeat(sink_BhwC[:, None], model.cfg.sinks, axis=1)
  state = streaming.open(
    model,
    weights,
    sink_BShwC,
    jax.vmap(jax.random.key)(np.arange(rows, dtype=np.uint32)),
    _portrait(inputs, rows),
  )

  @jax.jit
  def step(weights, state, signals):
    state, latents = streaming.step(model, weights, state, signals, guidance)
    _, frames_B1YX3 = tokenizer.decode_step(decoder, (), latents)
    return state, latents, to_uint8(frames_B1YX3[:, 0])

  for frame in range(frames):
    signals = _signals(inputs, audio_BTF, slice(frame, frame + 1))
    state, latents_BhwC, pixels_BYX3 = step(weights, state, signals)
    yield latents_BhwC, pixels_BYX3


def _theirs(module, talker, inputs, audio_BTF, guidance):
  """The same by PyTorch."""
  import torch

  rows, frames = audio_BTF.shape[:2]
  names = tuple(sorted(guidance))
  scales = tuple(torch.full((rows,), float(guidance[name])) for name in names)
  guidance = module.Guidance(names, scales)
  seed_B = torch.arange(rows)
  with torch.no_grad():
    portraits = torch_tensors(inputs.portraits_BYX3)
    sink = talker.tokenizer.encode(portraits)[:, None]
    sink = sink.expand(-1, talker.cfg.sinks, -1, -1, -1)
    # Its portraits have audio, which is not given.
    known = _portrait(inputs, rows, audio_BTF.shape[-1])
    state = talker.open(sink, torch_signals(known))
  for frame in range(frames):
    with torch.no_grad():
      signals = torch_signals(_signals(inputs, audio_BTF, frame))
      noise = module.frame_noise(
        talker.cfg, seed_B, torch.full_like(seed_B, frame)
      )
      state, latents = talker.step(state, signals, noise, guidance)
      pixels = (talker.tokenizer.decode(latents) * 255).round()
    yield latents.numpy(), pixels.numpy()
