"""Samples as they come, features of frames as soon as they can be told.

Dimension key: S samples, T frames, A mel steps in a frame, F mel bins.
"""

import numpy as np

from eartalk_jax.bounds import array, integer, shown
from eartalk_jax.errors import UserError
from eartalk_jax.speech.mel import SILENCE, AudioFeatures, MelStream


class Ear:
  """What one stream has heard and not yet used.

  Args:
    audio: the model's AudioConfig.
  """

  def __init__(self, audio):
    self._mel = MelStream(AudioFeatures(bins=audio.bins))
    self._reach = audio.past + 1 + audio.ahead
    self._past, self._ahead = audio.past, audio.ahead
    self._silence_AF = np.full((audio.steps, audio.bins), SILENCE, np.float32)
    # Begins `past` frames before the frame that is next.
    self._heard_TAF = self._silent(audio.past)
    self.finished = False
    self.samples = 0  # heard so far

  @property
  def ready(self):
    """Frames whose speech is known, look-ahead included."""
    return max(len(self._heard_TAF) - self._reach + 1, 0)

  def push(self, samples_S):
    """Takes the next samples: int16, or floats in [-1, 1].

    Raises:
      UserError: the speech has ended, another type, NaN, far beyond [-1, 1].
    """
    if self.finished:
      raise UserError("no speech can follow finish(); open another stream")
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
    self._hear(self._mel.push(samples_S))
    self.samples += len(samples_S)

  def finish(self):
    """No more speech: what follows the last sample is silence."""
    if not self.finished:
      self._hear(self._mel.flush())
      self._hear(self._silent(self._ahead))
      self.finished = True

  def at(self, later):
    """The features of a frame, as `audio.frame_context` gives them.

    Args:
      later: 0 is the next frame, 1 the one after it, ...
    """
    return self._heard_TAF[later : later + self._reach].reshape(-1)

  def advance(self):
    """Forgets what only the next frame needs: the one after it is next."""
    self._heard_TAF = self._heard_TAF[1:]

  def save(self):
    """Everything heard, as a dictionary of arrays and numbers."""
    return {
      "mel": self._mel.save(),
      "heard": self._heard_TAF,
      "finished": self.finished,
      "samples": self.samples,
    }

  def load(self, saved):
    """Goes on where `saved` was taken; UserError if it does not fit."""
    self._mel.load(saved["mel"])
    shape = None, *self._silence_AF.shape
    heard_TAF = array(saved["heard"], "features", np.float32, *shape)
    if len(heard_TAF) < self._past:
      raise UserError(f"features of {len(heard_TAF)} frames are too few")
    self._heard_TAF, self.finished = heard_TAF, bool(saved["finished"])
    self.samples = integer(saved["samples"], "samples", 0, None)

  def _silent(self, frames):
    return np.repeat(self._silence_AF[None], frames, axis=0)

  def _hear(self, mel_TAF):
    self._heard_TAF = np.concatenate([self._heard_TAF, mel_TAF])
