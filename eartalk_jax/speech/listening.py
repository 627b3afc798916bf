"""Samples as they come, the features of frames as soon as they can be told.

Dimension key: t frames, S samples, A vectors in a frame, F numbers in a vector.
"""

import numpy as np

from eartalk_jax.speech.encoding import TOGETHER, encode
from eartalk_jax.speech.windows import Windows


class Listener:
  """One clip or stream that hears by itself; `Streams` hear together."""

  def __init__(self, speech):
    """Will listen with that Speech; see the package."""
    self._speech = speech
    self._windows = Windows(speech)

  def push(self, samples_S):
    """Takes the next samples: int16, or floats in [-1, 1].

    Returns:
      The features of every frame that can be told now, float32 [t A F].

    Raises:
      UserError: the speech has ended, another type, NaN, far beyond [-1, 1].
    """
    self._windows.push(samples_S)
    return hear(self._speech, self._windows)

  def finish(self):
    """Ends the speech; the features of its last frames, as `push`."""
    self._windows.finish()
    return hear(self._speech, self._windows)


def hear(speech, windows):
  """The features of all that is waiting in Windows, float32 [t A F]."""
  found = [windows.take([])]  # none, of the right shape
  while parts := windows.next(TOGETHER):
    found.append(windows.take(encode(speech, parts)))
  return np.concatenate(found)
