"""Samples as they come, the features of frames as soon as they can be told.

Dimension key: S samples, T frames (t of those that are new), A vectors in a
frame, F numbers in a vector.
"""

import numpy as np

from eartalk_jax.bounds import array, integer, shown
from eartalk_jax.errors import UserError
from eartalk_jax.spans import FRAME_SAMPLES, frame_count

# Floats of speech lie in [-1, 1], loud ones and resampled ones a little beyond.
# Whoever leaves 16-bit samples undivided is far beyond.
LOUDEST = 8.0
# Frames encoded at once, where any number may be: bounds the memory.
_MOST = 256


class Listener:
  """The samples of one clip or stream; before and after them is silence.

  Attributes:
    samples: heard so far.
    finished: whether the speech has ended.
  """

  def __init__(self, speech):
    """Will listen with that Speech; see the package."""
    self._speech = speech
    self._buffer_S = np.zeros(speech.before, np.float32)
    self._frames = 0  # whose features were returned
    self.samples = 0
    self.finished = False

  def push(self, samples_S):
    """Takes the next samples: int16, or floats in [-1, 1].

    Returns:
      The features of every frame that can be told now, float32 [t A F].

    Raises:
      UserError: the speech has ended, another type, NaN, far beyond [-1, 1].
    """
    if self.finished:
      raise UserError("no speech can follow finish(); open another stream")
    samples_S = _as_float(samples_S)
    self._buffer_S = np.concatenate([self._buffer_S, samples_S])
    self.samples += len(samples_S)
    known = (self.samples - self._speech.after) // FRAME_SAMPLES
    return self._take(known)

  def finish(self):
    """Ends the speech; the features of its last frames, as `push`."""
    if self.finished:
      return self._take(0)
    self.finished = True
    speech, left = self._speech, frame_count(self.samples) - self._frames
    step = speech.step or 1
    frames = -(-left // step) * step  # what is beyond the end is cut off
    needed = speech.before + frames * FRAME_SAMPLES + speech.after
    missing = max(needed - len(self._buffer_S), 0)
    self._buffer_S = np.pad(self._buffer_S, (0, missing))
    return self._take(self._frames + frames)[:left]

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

  def _take(self, frames):
    """Features up to frame number `frames`, in whole windows of the encoder."""
    speech = self._speech
    made = [np.zeros((0, *speech.shape), np.float32)]
    while (count := self._window(frames)) > 0:
      size = speech.before + count * FRAME_SAMPLES + speech.after
      found = speech.apply(speech.params, self._buffer_S[None, :size])
      made.append(np.asarray(found[0], np.float32))
      self._buffer_S = self._buffer_S[count * FRAME_SAMPLES :]
      self._frames += count
    return np.concatenate(made)

  def _window(self, frames):
    """Frames of the next window; 0 if there is none."""
    left, step = frames - self._frames, self._speech.step
    if step is None:
      return min(left, _MOST)
    return step if left >= step else 0


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
