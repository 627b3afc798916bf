"""Inputs for both sides of a comparison: the usual, and what breaks ports.

Dimension key: B scenarios, T latents that are made (before they are joined:
video frames), S samples, K numbers of a control, Y X picture.
"""

import dataclasses

import numpy as np

from eartalk_jax.controls.known import track_of
from eartalk_jax.controls.requests import columns
from eartalk_jax.spans import FRAME_SAMPLES, SAMPLE_RATE, first_made

NAMES = ("speech", "silence", "clipping", "extreme controls", "all nulls")
_SPEECH, _SILENCE, _CLIPPING, _EXTREME, _NULLS = range(len(NAMES))


@dataclasses.dataclass(frozen=True)
class Inputs:
  """One stream for each of NAMES.

  Attributes:
    portraits_BYX3: uint8.
    samples_BS: speech, float32.
    heard_BT: bool, whether the speech is given.
    controls: {name: (value_BTK, given_BT)}.
    known: {name: (value_BK, given_B)}, of the portraits.
  """

  portraits_BYX3: np.ndarray
  samples_BS: np.ndarray
  heard_BT: np.ndarray
  controls: dict
  known: dict


def make_inputs(cfg, size, steps, seed=0):
  """Inputs of `steps` latents for a TalkerConfig and pictures of `size`."""
  rng = np.random.default_rng(seed)
  rows = len(NAMES)
  heard_BT = np.ones((rows, steps), bool)
  heard_BT[_NULLS] = False
  controls = {c.name: _control(rng, c, steps, cfg.stride) for c in cfg.controls}
  frames = first_made(cfg.stride) + steps * cfg.stride
  return Inputs(
    portraits_BYX3=_portraits(rng, rows, size),
    samples_BS=_speech(rng, frames * FRAME_SAMPLES),
    heard_BT=heard_BT,
    controls=controls,
    known={
      name: (value_BTK[:, 0], given_BT[:, 0])
      for name, (value_BTK, given_BT) in controls.items()
    },
  )


def _portraits(rng, rows, size):
  """Smooth colours: like pictures, unlike one another."""
  coarse = rng.uniform(0, 255, (rows, 4, 4, 3))
  place = np.linspace(0, 2.999, size)
  low, part = place.astype(int), (place % 1)[:, None, None]
  rising = coarse[:, low] * (1 - part) + coarse[:, low + 1] * part
  part = part[:, :, 0]
  wide = rising[:, :, low] * (1 - part) + rising[:, :, low + 1] * part
  return wide.round().astype(np.uint8)


def _speech(rng, samples):
  """Voiced syllables with pauses; nothing; what a bad microphone makes."""
  seconds = np.arange(samples) / SAMPLE_RATE
  pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * seconds)
  phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
  voice = sum(np.sin(n * phase) / n for n in range(1, 30))
  loud = np.clip(np.sin(2 * np.pi * 3 * seconds), 0, 1)
  loud *= np.sin(2 * np.pi * 0.3 * seconds) > -0.5
  speech_S = 0.1 * loud * voice + 0.003 * rng.normal(size=samples)
  samples_BS = np.repeat(speech_S[None], len(NAMES), axis=0)
  samples_BS[_SILENCE] = 0
  samples_BS[_CLIPPING] = np.clip(50 * speech_S, -1, 1)
  return samples_BS.astype(np.float32)


def _control(rng, control, steps, stride):
  """(value_BTK, given_BT): slow wishes; jumps between the ends; none."""
  rows, size, frames = len(NAMES), columns(control), steps * stride
  if control.kind == "categorical":
    value_BTK = rng.integers(0, control.size, (rows, frames, size))
    value_BTK[:] = value_BTK[:, :1]
    value_BTK[_EXTREME] = rng.integers(0, control.size, (frames, size))
  else:
    low, high = track_of(control.name).range
    wave_T1 = np.sin(np.arange(frames) / 20)[:, None]
    value_BTK = rng.uniform(low, high, (rows, 1, size)) * wave_T1
    value_BTK = np.clip(value_BTK, low, high)
    value_BTK[_EXTREME] = rng.choice([low, high], (frames, size))
  given_BT = rng.random((rows, steps)) < 0.8
  given_BT[_EXTREME], given_BT[_NULLS] = True, False
  value_BTK = value_BTK.reshape(rows, steps, -1)
  return value_BTK.astype(np.float32), given_BT
