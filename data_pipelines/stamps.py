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
_SETTLE_S, _MOST_STRETCH = 0.2, 0.08
# Of one hole. All of them together may be so much longer than the sound before
# them: a few packets far apart must not become hours.
_LONGEST_HOLE_S = 60
# Without a stamp for so long, the sound begins at zero.
_UNSTAMPED_S = 10
# The filter that stretches: taps on a side, and places between two samples.
_HALF, _PHASES = 16, 1024


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
    self._ahead = self._heard = self._filled = 0
    self._off = 0.0  # of the last frame, in samples
    self._drifts = False
    self._stretch = Stretch()

  def push(self, samples_S, time):
    """Takes a frame; yields pieces [S], later than they came."""
    before = self._ahead / self._rate
    if self.start is None and time is not None:
      self.start = time - before
    elif self.start is None and before > _UNSTAMPED_S:
      self.start = 0.0
    self._waiting.append((time, samples_S))
    self._ahead += len(samples_S)
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
    return self._ahead - len(self._waiting[-1][1]) >= _AHEAD_S * self._rate

  def _next(self):
    """The first frame that waits, with what the stamps ask for before it."""
    jitter = _JITTER_S * self._rate
    off, lasting = self._off, 0.0
    if self._waiting[0][0] is not None:
      off = self._difference(self._waiting[0][0], self._count)
      if self._drifts or abs(off) > jitter:
        lasting = self._lasting()
    samples_S = self._waiting.popleft()[1]
    self._ahead -= len(samples_S)
    self._heard += len(samples_S)
    # What grows faster than stretching can follow jumps now and then, too.
    jumps = abs(off - self._off) > jitter or abs(off) > 2 * jitter
    if min(abs(off), abs(lasting)) > jitter and off * lasting > 0:
      if jumps:
        shift = round(min(off, lasting, key=abs))
        samples_S = self._shifted(samples_S, shift)
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
    self._count += len(samples_S) * stretch
    return self._stretch.push(samples_S, stretch)

  def _difference(self, time, count):
    """How many samples a stamp is ahead of the count."""
    return (time - self.start) * self._rate - count

  def _lasting(self):
    """The median difference of all that wait: no single stamp's word."""
    count, found = self._count, []
    for time, samples_S in self._waiting:
      if time is not None:
        found.append(self._difference(time, count))
      count += len(samples_S)
    return statistics.median(found)

  def _shifted(self, samples_S, shift):
    """With as much silence in front, or without that many samples."""
    if shift < 0:
      return samples_S[-shift:]
    self._filled += shift
    longest = _LONGEST_HOLE_S * self._rate
    if shift > longest or self._filled > self._heard + longest:
      seconds = round(self._filled / self._rate)
      raise Reject("decode_error", f"lacks {seconds} s of sound in its middle")
    return np.concatenate([np.zeros(shift, np.float32), samples_S])


class Stretch:
  """Resamples by ratios near 1 that may change with every piece.

  Until the first ratio that is not 1, samples go through as they are.
  """

  def __init__(self):
    # The last inputs; outputs are due from position _at of these on.
    self._inputs_S = np.zeros(2 * _HALF, np.float32)
    self._at = 2.0 * _HALF
    self._plain = True

  def push(self, samples_S, ratio):
    """The next samples, `ratio` times as many as come in, on average."""
    if self._plain and ratio == 1.0:
      tail_S = samples_S[-len(self._inputs_S) :]
      self._inputs_S = np.concatenate([self._inputs_S[len(tail_S) :], tail_S])
      return samples_S
    self._plain = False
    inputs_S = np.concatenate([self._inputs_S, samples_S])
    room = len(inputs_S) - _HALF - self._at
    at_P = self._at + np.arange(max(0, np.ceil(room * ratio))) / ratio
    at_P = at_P[at_P < len(inputs_S) - _HALF]
    outputs_S = self._interpolated(inputs_S, at_P)
    self._at += len(at_P) / ratio
    gone = max(0, min(int(self._at), len(inputs_S)) - 2 * _HALF)
    self._inputs_S = inputs_S[gone:]
    self._at -= gone
    return outputs_S

  def flush(self):
    """What was held back."""
    if self._plain:
      return np.zeros(0, np.float32)
    return self.push(np.zeros(_HALF, np.float32), 1.0)

  def _interpolated(self, inputs_S, at_P):
    first_P = np.floor(at_P).astype(int)
    phase_P = ((at_P - first_P) * _PHASES).astype(int)
    windows_SL = np.lib.stride_tricks.sliding_window_view(inputs_S, 2 * _HALF)
    windows_PL = windows_SL[first_P - _HALF + 1]
    return np.einsum("pl,pl->p", windows_PL, _FILTER_PL[phase_P])


def _filter():
  """Windowed sinc for each phase: sample `HALF - 1 + phase` of a window."""
  places_P1 = np.arange(_PHASES)[:, None] / _PHASES
  away_PL = np.arange(1 - _HALF, _HALF + 1) - places_P1
  window_PL = np.i0(9 * np.sqrt(1 - (away_PL / _HALF) ** 2)) / np.i0(9)
  return (np.sinc(away_PL) * window_PL).astype(np.float32)


_FILTER_PL = _filter()
