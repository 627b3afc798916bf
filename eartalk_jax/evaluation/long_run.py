"""Does a stream stay what it is? Curves over minutes, with alarms.

A stream is cut into bins of equal length; in each of them is measured

  lip        correlation of the mouth's opening with the truth of the speech
  identity   share of frames that are nearest to their own portrait
  sharpness  mean absolute difference of neighbouring pixels, over that of the
             portrait
  colour     mean difference of the pictures' mean colour to the portrait's, in
             grey levels
  motion     mean absolute change from one frame to the next, in grey levels

A bin is held against the first one and, since a person can be lost within the
first seconds, against what the portrait alone asks for: see BANDS.

Dimension key: B streams, T frames (t of a chunk), Z bins, ..YX3 pictures.
"""

import dataclasses

import numpy as np
from matplotlib import pyplot as plt

from eartalk_jax import plotting
from eartalk_jax.evaluation import scores
from eartalk_jax.plotting import OURS, QUIET, STYLE, TRUTH, WRONG

_COLOURS = (OURS, WRONG, TRUTH, QUIET)


@dataclasses.dataclass(frozen=True)
class Band:
  """Where a bin's value raises no alarm.

  Attributes:
    least, most: factors of the first bin's value.
    slack: what is allowed besides these, in the figure's own unit.
    lowest, highest: whatever the first bin was.
  """

  least: float
  most: float
  slack: float = 0.0
  lowest: float = -np.inf
  highest: float = np.inf

  def limits(self, first):
    """The lowest and the highest value that raise no alarm."""
    least = first * self.least - self.slack
    # No bound is no bound, even of a first bin of 0.
    most = self.most
    if np.isfinite(most):
      most = first * most + self.slack
    least = max(least, self.lowest)
    return least, max(least, min(most, self.highest))


BANDS = {
  "lip": Band(0.85, np.inf),
  "identity": Band(0.95, np.inf, lowest=0.95),
  "sharpness": Band(0.85, 1.15, lowest=0.6, highest=1.5),
  "colour": Band(0.0, 1.5, slack=2.0, highest=8.0),
  "motion": Band(0.7, 1.4),
}


class Meter:
  """Measures streams while they are made; keeps numbers, no pictures.

  Args:
    portraits_BYX3: of the streams.
    probe: reads mouths.
    frames: length of a bin.
  """

  def __init__(self, portraits_BYX3, probe, frames):
    self._portraits_BYX3 = portraits_BYX3
    self._probe, self._frames = probe, frames
    self._thumbnails_BF = scores.thumbnails(portraits_BYX3)
    self._last_BYX3 = None
    self._values = {name: [] for name in BANDS if name != "lip"}
    self._mouth = []

  def push(self, frames_BtYX3):
    """Takes the next frames of all streams."""
    read = [self._probe.read(frames_tYX3) for frames_tYX3 in frames_BtYX3]
    self._mouth.append(np.stack([r["mouth"][:, 0] for r in read]))
    values = [
      self._of_stream(row, frames_tYX3)
      for row, frames_tYX3 in enumerate(frames_BtYX3)
    ]
    for name, series in self._values.items():
      series.append(np.stack([value[name] for value in values]))
    self._last_BYX3 = frames_BtYX3[:, -1]

  def _of_stream(self, row, frames_tYX3):
    thumbnails_tF = scores.thumbnails(frames_tYX3)
    apart_tB = np.square(thumbnails_tF[:, None] - self._thumbnails_BF).mean(-1)
    portrait_YX3 = self._portraits_BYX3[row]
    edges_t = _edges(frames_tYX3) / _edges(portrait_YX3[None])
    colour_t3 = frames_tYX3.mean((1, 2)) - portrait_YX3.mean((0, 1))
    before = (
      frames_tYX3[:1]
      if self._last_BYX3 is None
      else (self._last_BYX3[row][None])
    )
    joined = np.concatenate([before, frames_tYX3]).astype(np.int16)
    return {
      "identity": apart_tB.argmin(-1) == row,
      "sharpness": edges_t,
      "colour": np.abs(colour_t3).mean(-1),
      "motion": np.abs(np.diff(joined, axis=0)).mean((1, 2, 3)),
    }

  def curves(self, mouth_BT):
    """{figure: [Z], the mean over streams}; an unfinished bin is left out.

    Args:
      mouth_BT: the truth of the speech.
    """
    read_BT = np.concatenate(self._mouth, axis=1)
    bins = read_BT.shape[1] // self._frames
    cut = slice(0, bins * self._frames)

    def binned(series_BT):
      return series_BT[:, cut].reshape(len(series_BT), bins, self._frames)

    truth_BZt, read_BZt = binned(mouth_BT), binned(read_BT)
    lip_BZ = [
      [scores.correlation(*pair) for pair in zip(*rows, strict=True)]
      for rows in zip(read_BZt, truth_BZt, strict=True)
    ]
    found = {"lip": np.nanmean(lip_BZ, axis=0)}
    for name, series in self._values.items():
      found[name] = binned(np.concatenate(series, axis=1)).mean((0, 2))
    return found


def _edges(frames_tYX3):
  """Mean absolute difference of neighbouring pixels, [t]."""
  grey_tYX = frames_tYX3.mean(-1)
  down_t = np.abs(np.diff(grey_tYX, axis=1)).mean((1, 2))
  return down_t + np.abs(np.diff(grey_tYX, axis=2)).mean((1, 2))


def alarms(curves):
  """[(figure, bin, value, least, most)] of all bins that leave their band."""
  found = []
  for name, values_Z in curves.items():
    least, most = BANDS[name].limits(values_Z[0])
    found += [
      (name, index, float(value), float(least), float(most))
      for index, value in enumerate(values_Z)
      if not least <= value <= most
    ]
  return found


def draw(path, runs, minutes):
  """One panel for each figure, one curve for each run, its band behind it.

  Args:
    path: PNG file to make.
    runs: {name: curves}.
    minutes: length of a bin.
  """
  with plt.rc_context(STYLE):
    figure, axes = plt.subplots(1, len(BANDS), figsize=(3.2 * len(BANDS), 3))
    for axis, name in zip(axes, BANDS, strict=True):
      for colour, (run, curves) in zip(_COLOURS, runs.items(), strict=False):
        values_Z = curves[name]
        time_Z = (np.arange(len(values_Z)) + 0.5) * minutes
        axis.plot(time_Z, values_Z, color=colour, lw=1.6, label=run)
        least, most = BANDS[name].limits(values_Z[0])
        top = most if np.isfinite(most) else max(1.0, values_Z.max())
        axis.axhspan(least, top, color=colour, alpha=0.07, lw=0)
      axis.set_title(name, loc="left", fontsize=10)
      axis.set_xlabel("minutes")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    plotting.save(path, figure)
