"""The frames that a probe is trained on, drawn in random batches.

Dimension key:  N frames of all clips, B of a batch, K numbers of a track.
"""

import dataclasses

import numpy as np

from eartalk_jax.controls import known

_SPREAD_FLOOR = 1e-3


@dataclasses.dataclass(frozen=True)
class ProbeFrames:
  """Frames with their truth.

  Attributes:
    pictures_NYX3: uint8.
    truth: {track: [N, K]}, normalised by mean and spread unless categorical.
    mirrored: the truth of the pictures in the mirror; None if nobody knows.
    has: {track: [N]}, whether there is a truth.
    mean, spread: {continuous track: [K]}.
  """

  pictures_NYX3: np.ndarray
  truth: dict
  mirrored: dict | None
  has: dict
  mean: dict
  spread: dict

  def draw(self, batch, rng):
    """A random batch (pictures, truth, has); half in the mirror if known."""
    rows_B = rng.integers(0, len(self.pictures_NYX3), batch)
    pictures_BYX3 = self.pictures_NYX3[rows_B]
    truth = {name: value[rows_B] for name, value in self.truth.items()}
    has = {name: value[rows_B] for name, value in self.has.items()}
    if self.mirrored is not None:
      turned = slice(batch // 2)
      pictures_BYX3[turned] = pictures_BYX3[turned, :, ::-1].copy()
      for name, value_BK in truth.items():
        value_BK[turned] = self.mirrored[name][rows_B[turned]]
    return pictures_BYX3, truth, has


def gather_frames(source, config, per_clip, rng):
  """Random frames of all clips of a frames dataset, as ProbeFrames.

  Args:
    source: sequence of records with "frames", "tracks/NAME" and "has/NAME".
    config: ProbeConfig, what is to be read.
    per_clip: frames of each clip, at most.
    rng: numpy's.
  """
  names = [name for name, _ in (*config.tracks, *config.classes)]
  pictures, truth, has = [], {n: [] for n in names}, {n: [] for n in names}
  for index in range(len(source)):
    clip = source[index]
    frames = len(clip["frames"])
    rows = rng.choice(frames, min(per_clip, frames), replace=False)
    pictures.append(clip["frames"][rows])
    for name in names:
      truth[name].append(clip[f"tracks/{name}"][rows])
      has[name].append(np.full(len(rows), clip[f"has/{name}"]))
  truth = {name: np.concatenate(rows) for name, rows in truth.items()}
  has = {name: np.concatenate(rows) for name, rows in has.items()}
  mean, spread = _scales(config, truth, has)

  def normalised(truth):
    return {
      n: (v - mean[n]) / spread[n] if n in mean else v for n, v in truth.items()
    }

  mirrored = _mirrored(truth)
  return ProbeFrames(
    np.concatenate(pictures),
    normalised(truth),
    None if mirrored is None else normalised(mirrored),
    has,
    mean,
    spread,
  )


def _mirrored(truth):
  """The truth in the mirror; None if there is a track of unknown meaning."""
  if known.without_mirror(
    {name: value_NK.shape[1] for name, value_NK in truth.items()}
  ):
    return None
  return {n: known.mirrored(n, value_NK) for n, value_NK in truth.items()}


def _scales(config, truth, has):
  """Mean and standard deviation of each continuous track, where it is."""
  mean, spread = {}, {}
  for name, size in config.tracks:
    rows_NK = truth[name][has[name]]
    if not len(rows_NK):
      rows_NK = np.zeros((1, size), np.float32)
    mean[name] = rows_NK.mean(0)
    spread[name] = np.maximum(rows_NK.std(0), _SPREAD_FLOOR)
  return mean, spread
