"""Sound that keeps to its time stamps.

Samples are counted; where the stamps say another time than the count, and go
on to, what is missing is filled with silence, what is there twice is cut, and
a clock that runs slower or faster than its samples is followed by stretching
them. Stamps that are rounded or jitter change nothing, to the bit: up to 8 ms
are let be, and what one stamp says alone.

Dimension key:  S samples, P positions, L taps of the filter.
"""

import collections
import statistics

import numpy as np

from data_pipelines.rejects import Reject

# With pictures a 50th of a second from their time at most, sound within 20 ms.
_JITTER_S = 0.008
# A difference is believed that lasts for so long, and for three frames.
_AHEAD_S, _AHEAD_FRAMES = 0.3, 3
# In that time a difference is made up for by stretching, by up to that much.
_SETTLE_S, _MOST_STRETCH = 0.25, 0.08
# Silence in all: a file that is more holes than sound is no recording, and a
# few packets far apart must not become hours.
_LONGEST_HOLES_S = 60


class Follower:
  """Takes frames of mono sound with their times; gives them without gaps.

  Attributes:
    start: seconds at which the first sample is heard, on the file's time line.
  """

  def __init__(self, rate):
    self.start = None
    self._rate = rate
    self._waiting = collections.deque()  # (seconds or None, samples_S)
    self._count = 0.0  # samples after `start` that were given, stretched
    self._heard = self._filled = 0
    self._off = 0.0  # of the last frame, in samples
    self._drifts = False
    self._stretch = Stretch()

  def push(self, samples_S, time):
    """Takes a frame; yields pieces [S], later than they came."""
    self._waiting.append((time, samples_S))
    if self.start is None and time is not None:
      before = sum(len(samples_S) for _, samples_S in self._waiting)
      self.start = time - (before - len(samples_S)) / self._rate
    while self._looks_ahead():
      yield self._next()

  def flush(self):
    """Yields the rest."""
    if self.start is None:
      self.start = 0.0
    while self._waiting:
      yield self._next()
    yield self._stretch.flush()

  def _looks_ahead(self):
    if self.start is None or len(self._waiting) <= _AHEAD_FRAMES:
      return False
    ahead = sum(len(samples_S) for _, samples_S in self._waiting)
    return ahead - len(self._waiting[-1][1]) >= _AHEAD_S * self._rate

  def _next(self):
    """The first frame that waits, with what the stamps ask for before it."""
    off, lasting = self._differences()
    time, samples_S = self._waiting.popleft()
    self._heard += len(samples_S)
    jitter = _JITTER_S * self._rate
    silence = np.zeros(0, np.float32)
    jumps = abs(off - self._off) > jitter
    if min(abs(off), abs(lasting)) > jitter and off * lasting > 0:
      if jumps:
        shift = round(min(off, lasting, key=abs))
        silence = self._silence(shift)
        samples_S = samples_S[max(0, -shift) :]
        off -= shift
        lasting -= shift
      else:
        self._drifts = True
    self._off = off
    stretch = 1.0
    if self._drifts:
      most = _MOST_STRETCH
      wanted = lasting / (_SETTLE_S * self._rate)
      stretch += min(most, max(-most, wanted))
    self._count += len(silence) + len(samples_S) * stretch
    return np.concatenate(
      [self._stretch.push(silence, 1.0), self._stretch.push(samples_S, stretch)]
    )

  def _differences(self):
    """How many samples the stamps are ahead of the count: first, and lasting.

    The second is the median of all that wait, so it is no single stamp's word.
    """
    count, found = self._count, []
    for time, samples_S in self._waiting:
      if time is not None:
        found.append((time - self.start) * self._rate - count)
      count += len(samples_S)
    if self._waiting[0][0] is None or not found:
      return self._off, 0.0
    return found[0], statistics.median(found)

  def _silence(self, samples):
    if samples <= 0:
      return np.zeros(0, np.float32)
    self._filled += samples
    if self._filled > self._heard + _LONGEST_HOLES_S * self._rate:
      raise Reject(
        "decode_error",
        f"has holes of {self._filled / self._rate:.0f} s in its sound, more "
        "than there is sound",
      )
    return np.zeros(samples, np.float32)


class Stretch:
  """Resamples by ratios near 1 that may change with every piece.

  Until the first ratio that is not 1, samples go through as they are.
  """

  _HALF = 16
  _PHASES = 1024

  def __init__(self):
    # The last inputs; outputs are due from position _at of these on.
    self._inputs_S = np.zeros(2 * self._HALF, np.float32)
    self._at = 2.0 * self._HALF
    self._plain = True

  def push(self, samples_S, ratio):
    """The next samples, `ratio` times as many as come in, on average."""
    self._plain = self._plain and ratio == 1.0
    inputs_S = np.concatenate([self._inputs_S, samples_S])
    outputs_S = samples_S
    if not self._plain:
      room = len(inputs_S) - self._HALF - self._at
      at_P = self._at + np.arange(max(0, np.ceil(room * ratio))) / ratio
      at_P = at_P[at_P < len(inputs_S) - self._HALF]
      outputs_S = self._interpolated(inputs_S, at_P)
      self._at += len(at_P) / ratio
    else:
      self._at += len(samples_S)
    gone = max(0, min(int(self._at), len(inputs_S)) - 2 * self._HALF)
    self._inputs_S = inputs_S[gone:]
    self._at -= gone
    return outputs_S

  def flush(self):
    """What was held back."""
    if self._plain:
      return np.zeros(0, np.float32)
    return self.push(np.zeros(self._HALF, np.float32), 1.0)

  def _interpolated(self, inputs_S, at_P):
    first_P = np.floor(at_P).astype(int)
    phase_P = ((at_P - first_P) * self._PHASES).astype(int)
    windows_SL = np.lib.stride_tricks.sliding_window_view(
      inputs_S, 2 * self._HALF
    )
    windows_PL = windows_SL[first_P - self._HALF + 1]
    return np.einsum("pl,pl->p", windows_PL, _FILTER_PL[phase_P])


def _filter():
  """Windowed sinc for each phase: sample `HALF - 1 + phase` of a window."""
  half, phases = Stretch._HALF, Stretch._PHASES
  away_PL = np.arange(1 - half, half + 1) - np.arange(phases)[:, None] / phases
  window_PL = np.i0(9 * np.sqrt(1 - (away_PL / half) ** 2)) / np.i0(9)
  return (np.sinc(away_PL) * window_PL).astype(np.float32)


_FILTER_PL = _filter()
