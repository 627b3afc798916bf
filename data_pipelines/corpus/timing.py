"""When the frames of a file are shown: many rates, one of them irregular.

Dimension key: T video frames.
"""

import dataclasses
import fractions

import numpy as np

VARIABLE = "variable"
# Share of the files; 50 frames a second is rare because it costs twice.
_RATES = {
  "24000/1001": 0.16,
  "24": 0.15,
  "25": 0.24,
  "30000/1001": 0.13,
  "30": 0.1,
  "50": 0.05,
  VARIABLE: 0.17,
}
_CLOCK = 30_000
_SHORTEST, _LONGEST = 0.022, 0.062


@dataclasses.dataclass(frozen=True)
class Timing:
  """Presentation time stamps in units of `base` seconds, and the end.

  rate is the nominal frame rate; seconds is where the last frame ends.
  """

  pts_T: np.ndarray
  base: fractions.Fraction
  rate: fractions.Fraction
  seconds: float

  @property
  def times_T(self):
    """Time stamps in seconds."""
    return self.pts_T * float(self.base)


def make_timing(rng, seconds):
  """Draws a frame rate and the time stamps of a file of about `seconds`."""
  name = str(rng.choice(list(_RATES), p=list(_RATES.values())))
  if name == VARIABLE:
    return _irregular(rng, seconds)
  rate = fractions.Fraction(name)
  count = max(1, round(seconds * rate))
  return Timing(np.arange(count), 1 / rate, rate, float(count / rate))


def _irregular(rng, seconds):
  """Like a phone's camera: every frame is shown for another while."""
  gaps = rng.uniform(_SHORTEST, _LONGEST, int(seconds / _SHORTEST) + 2)
  ends = np.round(np.cumsum(gaps) * _CLOCK).astype(int)
  count = max(2, int(np.searchsorted(ends, seconds * _CLOCK)))
  pts_T = np.concatenate([[0], ends[: count - 1]])
  # Containers give the last frame the length of the one before.
  end = 2 * pts_T[-1] - pts_T[-2]
  base = fractions.Fraction(1, _CLOCK)
  return Timing(pts_T, base, fractions.Fraction(25), float(end * base))
