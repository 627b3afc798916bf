"""Samples as they come, cut into the windows of a speech encoder.

Dimension key: S samples, t frames, A vectors in a frame, F numbers in a vector.
"""

import numpy as np

from eartalk_jax.bounds import array, integer, shown
from eartalk_jax.errors import UserError
from eartalk_jax.spans import FRAME_SAMPLES, frame_count

# Floats of speech lie in [-1, 1], loud ones and resampled ones a little beyond.
# Whoever leaves 16-bit samples undivided is far beyond.
LOUDEST = 8.0
# Frames of a window, where any number may be: bounds the memory.
_MOST = 256


class Windows:
  """The samples of one clip or stream; before and after them is silence.

  Attributes:
    samples: heard so far.
    finished: whether the speech has ended.
  """

  def __init__(self, speech):
    """Will cut what that Speech hears; see the package."""
    self._speech = speech
    self._buffer_S = np.zeros(speech.before, np.float32)
    self._frames = 0  # whose features were taken
    self.samples = 0
    self.finished = False

  @property
  def waiting(self):
    """Frames whose windows are complete and whose features were not taken."""
    if self.finished:
      return max(frame_count(self.samples) - self._frames, 0)
    step = self._speech.step or 1
    complete = (self.samples - self._speech.after) // FRAME_SAMPLES
    return max((complete - self._frames) // step * step, 0)

  def push(self, samples_S):
    """Takes the next samples: int16, or floats in [-1, 1].

    Raises:
      UserError: the speech has ended, another type, NaN, far beyond [-1, 1].
    """
    if self.finished:
      raise UserError("no speech can follow finish(); open another stream")
    samples_S = _as_float(samples_S)
    self._buffer_S = np.concatenate([self._buffer_S, samples_S])
    self.samples += len(samples_S)

  def finish(self):
    """Ends the speech: all of its frames are waiting."""
    if self.finished:
      return
    self.finished = True
    missing = max(self._needed - len(self._buffer_S), 0)
    self._buffer_S = np.pad(self._buffer_S, (0, missing))

  @property
  def _needed(self):
    """Samples of whole windows, for all that is waiting."""
    speech, step = self._speech, self._speech.step or 1
    frames = -(-self.waiting // step) * step
    return speech.before + frames * FRAME_SAMPLES + speech.after

  def next(self, most):
    """The next windows that are complete, `most` at most: a list of [S]."""
    speech, windows = self._speech, []
    frames, first = self.waiting, 0
    while first < frames and len(windows) < most:
      count = speech.step or min(frames - first, _MOST)
      size = speech.before + count * FRAME_SAMPLES + speech.after
      windows.append(self._buffer_S[first * FRAME_SAMPLES :][:size])
      first += count
    return windows

  def take(self, found):
    """Forgets the next windows, whose features these are.

    Args:
      found: a list of [t A F].

    Returns:
      Those of the clip's own frames, float32 [t A F].
    """
    none_tAF = np.zeros((0, *self._speech.shape), np.float32)
    features_tAF = np.concatenate([none_tAF, *found])
    frames, waiting = len(features_tAF), self.waiting
    self._buffer_S = self._buffer_S[frames * FRAME_SAMPLES :]
    self._frames += frames
    return features_tAF[:waiting]

  def save(self):
    """All that it remembers, as a dictionary of arrays and numbers."""
    return {
      "buffer": self._buffer_S,
      "samples": self.samples,
      "frames": self._frames,
      "finished": self.finished,
    }

  def load(self, saved):
    """Goes on where `saved` was taken; UserError if it does not fit."""
    samples = integer(saved["samples"], "samples", 0, None)
    frames = integer(saved["frames"], "frames", 0, None)
    finished = bool(saved["finished"])
    kept = self._speech.before + samples - frames * FRAME_SAMPLES
    size = None if finished else kept
    self._buffer_S = array(saved["buffer"], "samples", np.float32, size)
    self._frames, self.samples, self.finished = frames, samples, finished
    if self.waiting and len(self._buffer_S) < self._needed:
      raise UserError(f"samples of {self.waiting} frames are missing")


def _as_float(samples_S):
  try:
    samples_S = np.asarray(samples_S)
  except ValueError:  # lists of several lengths
    raise UserError(
      f"samples {shown(samples_S)}: push mono int16, or floats in [-1, 1]"
    ) from None
  known = samples_S.dtype == np.int16 or samples_S.dtype.kind == "f"
  if samples_S.ndim != 1 or not known:
    raise UserError(
      f"samples {samples_S.dtype}{list(samples_S.shape)}: push mono int16, "
      "or floats in [-1, 1]"
    )
  if samples_S.dtype == np.int16:
    return samples_S.astype(np.float32) / 32768
  if not np.isfinite(samples_S).all():
    raise UserError(
      "the audio holds NaN or infinite samples; repair or re-export the file"
    )
  loudest = np.abs(samples_S).max(initial=0)
  if loudest > LOUDEST:
    raise UserError(
      f"the audio holds a sample of {loudest:g}, but floats lie in [-1, 1]; "
      "divide 16-bit samples by 32768"
    )
  return samples_S.astype(np.float32)
