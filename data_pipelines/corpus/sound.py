"""A clip's sound track: speech at some loudness, rate and noisiness.

Dimension key: S audio samples, A audio channels.
"""

import numpy as np
import soxr

from data_pipelines.corpus.speech import SAMPLE_RATE

_RATES = (16_000, 22_050, 44_100, 48_000)
_NOISY_SHARE = 0.3


def make_sound(rng, speech, seconds):
  """Draws how a recording sounds.

  Returns:
    samples_AS in [-1, 1], exactly `seconds` long, mono or stereo, and its
    sample rate in Hz.
  """
  samples_S = speech.samples_S * np.float32(10 ** (rng.uniform(-6, 3) / 20))
  if rng.random() < _NOISY_SHARE:
    samples_S = samples_S + _hiss(rng, len(samples_S))
  rate = int(rng.choice(_RATES))
  if rate != SAMPLE_RATE:
    samples_S = soxr.resample(samples_S, SAMPLE_RATE, rate)
  length = round(seconds * rate)
  samples_S = np.pad(samples_S, (0, max(0, length - len(samples_S))))
  samples_1S = samples_S[None, :length].clip(-0.99, 0.99)
  if rng.random() < 0.5:
    return samples_1S, rate
  left, right = rng.uniform(0.8, 1.0, 2)
  return samples_1S * np.float32([[left], [right]]), rate


def _hiss(rng, count):
  """Room noise, about 45 to 35 dB under full scale and darker than white."""
  noise_S = rng.standard_normal(count).astype(np.float32)
  noise_S[1:] += 0.9 * noise_S[:-1]
  level = 10 ** (rng.uniform(-62, -48) / 20)
  return np.float32(level) * noise_S
