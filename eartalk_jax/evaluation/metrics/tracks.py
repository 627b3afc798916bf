"""How well what is seen follows the truth of a track, read by the probe.

Dimension key:  T frames, K numbers of a track.
"""

import numpy as np

from eartalk_jax.controls.known import TRACKS, figure_names
from eartalk_jax.evaluation import scores
from eartalk_jax.evaluation.figures import KINDS, figure_of


def of_tracks(config):
  """A metric for each track that a probe reads.

  Args:
    config: its ProbeConfig; None without a probe: then for all known tracks.
  """
  if config is None:
    sizes = {name: len(track.numbers) for name, track in TRACKS.items()}
    classes = [name for name in sizes if TRACKS[name].classes]
    tracks = [(n, size) for n, size in sizes.items() if n not in classes]
  else:
    tracks, classes = config.tracks, [name for name, _ in config.classes]
  return [
    *(Correlation(name, size) for name, size in tracks),
    *(Recognition(name) for name in classes),
  ]


class _OfTrack:
  """A mean over clips for each figure; undefined ones do not count."""

  over = tuple(KINDS)

  def __init__(self, track, keys):
    self._track = track
    self.figures = tuple(figure_of(key) for key in keys)
    self.needs = (f"truth:{track}", f"probe:{track}")

  def start(self):
    """[[value of each figure] of each clip]."""
    return []

  def push(self, state, seen, clip):
    """See `Metric`."""
    state.append(self._values(seen.tracks[self._track], clip))

  def finish(self, state):
    """See `Metric`."""
    return {
      figure.key: scores.mean_over_clips([values[i] for values in state])
      for i, figure in enumerate(self.figures)
    }


class Correlation(_OfTrack):
  """Pearson's r in a clip, for each number of a continuous track of K."""

  def __init__(self, track, size):
    super().__init__(track, figure_names(track, size))

  def _values(self, read_TK, clip):
    true_TK = clip.tracks[self._track]
    pairs = [(read_TK[:, k], true_TK[:, k]) for k in range(len(self.figures))]
    return [scores.correlation(*pair) for pair in pairs]


class Recognition(_OfTrack):
  """Share of right frames: of all, and of those unlike the portrait."""

  def __init__(self, track):
    super().__init__(track, (track, f"{track}_changed"))

  def _values(self, read_TK, clip):
    true_T = clip.tracks[self._track][:, 0]
    right_T = read_TK[:, 0] == true_T
    changed_T = true_T != clip.portrait_tracks[self._track][0]
    if not changed_T.any():
      return right_T.mean(), np.nan
    return right_T.mean(), right_T[changed_T].mean()
