"""What is known about a video, from the `NAME.truth.json` beside it.

  {"version": 1,
   "times":  [seconds of every frame in the file],
   "tracks": {"mouth": [[open, width, round], ...], ...},   a row per time
   "categories": {"emotion": ["neutral", ...]}}   names of a track's indices

The file, each track and `categories` are optional; other keys are ignored.
"""

import dataclasses
import json
import pathlib

import numpy as np

from data_pipelines.rejects import Reject


@dataclasses.dataclass(frozen=True)
class Truth:
  """The tracks of one video: name -> float32 [rows, k]."""

  times: np.ndarray
  tracks: dict
  categories: dict

  def at(self, name, times):
    """The track's rows nearest to those times, float32 [len(times), k]."""
    right = np.clip(np.searchsorted(self.times, times), 1, None)
    right = np.minimum(right, len(self.times) - 1)
    left = np.maximum(right - 1, 0)
    nearer_left = times - self.times[left] < self.times[right] - times
    return self.tracks[name][np.where(nearer_left, left, right)]


NOTHING = Truth(np.zeros(0), {}, {})


def truth_path(video):
  """Where a video's truth would be."""
  return pathlib.Path(video).with_suffix(".truth.json")


def read_truth(video):
  """The truth beside a video; `NOTHING` if there is none.

  Raises:
    Reject: bad_truth.
  """
  path = truth_path(video)
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
    return _parse(content)
  except FileNotFoundError:
    return NOTHING
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise Reject("bad_truth", f"{path.name}: {error!r}") from None


def _parse(content):
  if content.get("version") != 1:
    raise ValueError(f"version {content.get('version')} instead of 1")
  tracks = {
    name: np.asarray(rows, np.float32)
    for name, rows in content.get("tracks", {}).items()
  }
  times = np.asarray(content["times"] if tracks else [], np.float64)
  if times.ndim != 1 or not (np.diff(times) > 0).all():
    raise ValueError("times do not increase")
  if tracks and not len(times):
    raise ValueError("tracks without times")
  for name, rows in tracks.items():
    if rows.ndim != 2 or len(rows) != len(times):
      raise ValueError(f"{name} has shape {rows.shape}, {len(times)} times")
    if not np.isfinite(rows).all():
      raise ValueError(f"{name} holds NaN or infinity")
  categories = content.get("categories", {})
  for name, names in categories.items():
    if name in tracks:
      _check_indices(name, tracks[name], len(names))
  return Truth(times, tracks, categories)


def _check_indices(name, rows, count):
  whole = rows == np.round(rows)
  if rows.shape[1] != 1 or not (whole & (rows >= 0) & (rows < count)).all():
    raise ValueError(f"{name} must be one index below {count} per row")
