"""Mouth shapes from phoneme times.

A mouth shape is (open, width, round), each in [0, 1]; open 0 is closed lips.
It is a function of the phonemes and their times only, never of the waveform.

Dimension key: Q steps of a regular time grid, T video frames.
"""

import numpy as np
from scipy.ndimage import convolve1d

GRID_HZ = 250
REST = (0.0, 0.5, 0.1)
_SMOOTH_SECONDS = 0.09
_CLOSED_SECONDS = 0.045
_RAMP_SECONDS = 0.045
_SHORT_GAP_SECONDS = 0.06
_CLOSED_LIPS = "mbp"

# One letter of IPA -> (open, width, round). Diphthongs are two letters.
_SHAPES = {
  "m": (0.0, 0.45, 0.15),
  "b": (0.0, 0.45, 0.15),
  "p": (0.0, 0.45, 0.15),
  "f": (0.1, 0.5, 0.1),
  "v": (0.1, 0.5, 0.1),
  "θ": (0.18, 0.52, 0.05),
  "ð": (0.18, 0.52, 0.05),
  "t": (0.16, 0.58, 0.05),
  "d": (0.16, 0.58, 0.05),
  "n": (0.2, 0.56, 0.05),
  "ɾ": (0.24, 0.56, 0.05),
  "s": (0.12, 0.68, 0.0),
  "z": (0.12, 0.68, 0.0),
  "l": (0.3, 0.52, 0.1),
  "k": (0.24, 0.5, 0.1),
  "ɡ": (0.24, 0.5, 0.1),
  "ŋ": (0.22, 0.5, 0.1),
  "x": (0.26, 0.5, 0.1),
  "h": (0.42, 0.5, 0.1),
  "ʔ": (0.35, 0.5, 0.1),
  "ʃ": (0.16, 0.28, 0.7),
  "ʒ": (0.16, 0.28, 0.7),
  "ɹ": (0.28, 0.35, 0.5),
  "r": (0.28, 0.38, 0.4),
  "w": (0.12, 0.1, 1.0),
  "ʍ": (0.12, 0.1, 1.0),
  "j": (0.26, 0.75, 0.0),
  "i": (0.46, 1.0, 0.0),
  "ɪ": (0.52, 0.78, 0.0),
  "ᵻ": (0.5, 0.75, 0.0),
  "e": (0.64, 0.82, 0.0),
  "ɛ": (0.74, 0.74, 0.0),
  "æ": (0.92, 0.78, 0.0),
  "a": (0.98, 0.62, 0.0),
  "ɐ": (0.8, 0.55, 0.05),
  "ʌ": (0.82, 0.52, 0.08),
  "ɑ": (1.0, 0.45, 0.1),
  "ɒ": (0.92, 0.35, 0.5),
  "ɔ": (0.78, 0.24, 0.75),
  "o": (0.66, 0.18, 0.88),
  "ʊ": (0.5, 0.2, 0.8),
  "u": (0.42, 0.08, 1.0),
  "ʉ": (0.44, 0.2, 0.85),
  "ə": (0.58, 0.5, 0.1),
  "ɜ": (0.64, 0.45, 0.25),
  "ɚ": (0.54, 0.4, 0.4),
}


def mouth_shapes(phonemes, times_T, seconds):
  """Shapes at the asked times.

  Args:
    phonemes: Phoneme objects in order; '' and whatever lies between is rest.
    times_T: seconds.
    seconds: length of the track.

  Returns:
    mouth_T3, float32: open, width, round.
  """
  count = int(np.ceil(seconds * GRID_HZ)) + 1
  target_Q3 = np.tile(np.array(REST), (count, 1))
  closed_Q = np.zeros(count)
  for i, phoneme in enumerate(phonemes):
    _paint(target_Q3, phonemes, i)
    if phoneme.ipa[:1] in tuple(_CLOSED_LIPS):
      _close(closed_Q, phoneme)
  window = np.hanning(round(2 * _SMOOTH_SECONDS * GRID_HZ) | 1)
  smooth_Q3 = convolve1d(
    target_Q3, window / window.sum(), axis=0, mode="nearest"
  )
  smooth_Q3[:, 0] *= 1 - closed_Q
  grid_Q = np.arange(count) / GRID_HZ
  columns = [np.interp(times_T, grid_Q, smooth_Q3[:, k]) for k in range(3)]
  return np.stack(columns, axis=1).clip(0, 1).astype(np.float32)


def _paint(target_Q3, phonemes, i):
  """Writes the constant targets of one phoneme on the grid."""
  phoneme = phonemes[i]
  letters = [c for c in phoneme.ipa if c in _SHAPES]
  if not letters:
    if not 0 < i < len(phonemes) - 1:
      return
    if phoneme.end - phoneme.start >= _SHORT_GAP_SECONDS:
      return
    # The lips do not meet in a gap that short.
    letters = [c for c in phonemes[i - 1].ipa if c in _SHAPES][-1:]
  edges = np.linspace(phoneme.start, phoneme.end, len(letters) + 1)
  for letter, start, end in zip(letters, edges, edges[1:], strict=False):
    span = slice(round(start * GRID_HZ), round(end * GRID_HZ))
    target_Q3[span] = _SHAPES[letter]


def _close(closed_Q, phoneme):
  """Lips held shut for at least one video frame around a bilabial."""
  middle = (phoneme.start + phoneme.end) / 2
  half = max(_CLOSED_SECONDS, phoneme.end - phoneme.start) / 2
  distance_Q = np.abs(np.arange(len(closed_Q)) / GRID_HZ - middle) - half
  ramp_Q = np.clip(1 - distance_Q / _RAMP_SECONDS, 0, 1)
  ramp_Q = ramp_Q * ramp_Q * (3 - 2 * ramp_Q)
  np.maximum(closed_Q, ramp_Q, out=closed_Q)
