"""What is known about a video, from the `NAME.truth.json` beside it.

  {"version": 1,
   "times":  [seconds of every frame in the file],
   "tracks": {"mouth": [[open, width, round], ...], ...},   a row per time
   "categories": {"emotion": ["neutral", ...]}}   names of a track's indices

The file, each track and `categories` are optional; other keys are ignored.
"""

import dataclasses
import os
import pathlib
import re
import stat

import numpy as np

from data_pipelines.rejects import Reject
from eartalk_jax.controls.known import track_of
from eartalk_jax.documents import parse_json
from eartalk_jax.errors import UserError

# Hours of many tracks; a reader takes about ten times as much memory.
_MOST_BYTES = 64 << 20
# Every record of the dataset has all tracks, those of other files as zeros.
_MOST_TRACKS, _MOST_NUMBERS = 32, 256
# Of full scale: heads that look backwards.
_FARTHEST = 6.0
_NAME = re.compile(r"[\w .:-]{1,64}")


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
    if not _is_there(path):
      return NOTHING
    return _parse(parse_json(path.read_bytes(), path.name, "repair it"))
  except UserError as error:
    raise Reject("bad_truth", str(error)) from None
  except OSError as error:
    raise Reject("bad_truth", f"{path.name}: {error.strerror}") from None
  except ValueError as error:
    raise Reject("bad_truth", f"{path.name}: {error}") from None


def _is_there(path):
  """Whether there is such a file, which can be read as a whole.

  Raises:
    OSError, ValueError: there is something else.
  """
  try:
    status = path.stat()
  except OSError:
    if os.path.islink(path):
      raise
    return False  # none, or a name too long for one
  if not stat.S_ISREG(status.st_mode):
    raise ValueError("is no file")
  if status.st_size > _MOST_BYTES:
    raise ValueError(f"is larger than {_MOST_BYTES >> 20} MB")
  return True


def _parse(content):
  if not isinstance(content, dict):
    raise ValueError("is no JSON object")
  if content.get("version") != 1:
    raise ValueError(f"version {content.get('version')!r:.40} instead of 1")
  named = _dict(content, "tracks")
  if len(named) > _MOST_TRACKS:
    raise ValueError(f"holds {len(named)} tracks, more than {_MOST_TRACKS}")
  tracks = {name: _numbers(name, rows, 2) for name, rows in named.items()}
  times = np.zeros(0)
  if tracks:
    times = _numbers("times", content.get("times"), 1)
    _check_times(times)
  for name, rows in tracks.items():
    _check_rows(name, rows, len(times))
    _check_scale(name, rows)
  categories = {
    name: _names(name, names)
    for name, names in _dict(content, "categories").items()
    if name in tracks
  }
  for name, names in categories.items():
    _check_indices(name, tracks[name], len(names))
  rows32 = {name: rows.astype(np.float32) for name, rows in tracks.items()}
  return Truth(times, rows32, categories)


def _dict(content, key):
  value = content.get(key, {})
  if not isinstance(value, dict):
    raise ValueError(f"{key} is no JSON object")
  for name in value:
    if not _NAME.fullmatch(name):
      raise ValueError(f"{name!r:.80} in {key}: give a plain name")
  return value


def _numbers(name, value, rank):
  """Nested lists of numbers as float64; strings and nulls are none."""
  try:
    array = np.asarray(value)
  except ValueError:  # rows of different length
    array = np.asarray(None)
  if array.ndim != rank or array.dtype.kind not in "if":
    raise ValueError(f"{name}: give {'rows of' if rank == 2 else ''} numbers")
  if not (np.abs(array) <= np.finfo(np.float32).max).all():
    raise ValueError(f"{name} holds NaN, infinity or the like")
  return array.astype(np.float64)


def _check_times(times):
  if not len(times):
    raise ValueError("tracks without times")
  if not (np.diff(times) > 0).all():
    raise ValueError("times do not increase")


def _check_rows(name, rows, count):
  if len(rows) != count:
    raise ValueError(
      f"{name} has {len(rows)} rows, but there are {count} times"
    )
  if not 1 <= rows.shape[1] <= _MOST_NUMBERS:
    raise ValueError(
      f"{name} has {rows.shape[1]} numbers a row; give 1 to {_MOST_NUMBERS}"
    )


def _check_scale(name, rows):
  """Faces go beyond full scale, but not as far as degrees do."""
  hint = track_of(name).hint
  most = np.abs(rows).max(initial=0)
  if hint and most > _FARTHEST:
    raise ValueError(f"{name} holds {most:g}; {hint}")


def _names(name, names):
  if (
    not isinstance(names, list)
    or not all(isinstance(each, str) and each.isprintable() for each in names)
    or len(set(names)) < len(names)
  ):
    raise ValueError(f"categories of {name}: give a list of different names")
  return names


def _check_indices(name, rows, count):
  whole = rows == np.round(rows)
  if rows.shape[1] != 1 or not (whole & (rows >= 0) & (rows < count)).all():
    raise ValueError(f"{name} must be one index below {count} per row")
