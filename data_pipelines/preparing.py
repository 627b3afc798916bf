"""A folder of media files to a frames dataset, one shard after the other.

  OUT/plan.json               configuration and source files: fixes the shards
  OUT/shards/00003.json       shard 3 is committed: hashes, scores, rejects
  OUT/frames-clips...         the shards themselves

A shard holds all sub-clips of its files that could be decoded, whatever their
scores, and is a pure function of the configuration and its source files.
"""

import dataclasses
import json
import os
import pathlib

from data_pipelines import shards
from data_pipelines.ingest import Settings, ingest_file
from data_pipelines.pool import run_jobs
from data_pipelines.rejects import Reject
from data_pipelines.truth import read_truth, truth_path
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError

# Raised whenever the same input gives other shards than before.
_CODE_VERSION = 2
_ENDINGS = (".mp4", ".mov", ".mkv", ".webm")


@dataclasses.dataclass(frozen=True)
class ShardJob:
  """One shard to make: everything its bytes depend on, and where it goes."""

  source: str
  out: str
  index: int
  count: int
  names: tuple
  settings: Settings

  @property
  def path(self):
    """The shard's file."""
    return shards.shard_path(self.out, "frames", self.index, self.count)

  @property
  def entry_path(self):
    """The file whose presence says that the shard is committed."""
    return pathlib.Path(self.out) / "shards" / f"{self.index:05d}.json"


def find_media(directory):
  """Relative names of all media files below a folder, sorted.

  Raises:
    UserError: there is none.
  """
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    raise UserError(f"--input {directory} is no folder; give one with videos")
  names = sorted(
    path.relative_to(directory).as_posix()
    for path in directory.rglob("*")
    if path.suffix.lower() in _ENDINGS
  )
  if not names:
    raise UserError(
      f"--input {directory} holds no {', '.join(_ENDINGS)} file; give a folder "
      "with videos"
    )
  return names


def make_settings(directory, names, **options):
  """Settings with the tracks of all truth files; a bad file says nothing."""
  sizes, categories = {}, {}
  with counting("reading truth", len(names), "files") as advance:
    for name in names:
      try:
        truth = read_truth(pathlib.Path(directory) / name)
      except Reject:  # will be said when the file's shard is made
        continue
      finally:
        advance()
      for track, rows in truth.tracks.items():
        sizes.setdefault(track, rows.shape[1])
        if track in truth.categories:
          categories.setdefault(track, truth.categories[track])
  return Settings(track_sizes=sizes, categories=categories, **options)


def make_plan(source, out, names, settings, files_per_shard):
  """Claims the folder `out` for this work; returns its jobs.

  Raises:
    UserError: the folder holds something else.
  """
  plan = {
    "config": _config(settings),
    "files_per_shard": files_per_shard,
    "files": names,
    "source": os.path.abspath(source),
  }
  _claim(pathlib.Path(out), plan)
  groups = [
    tuple(names[i : i + files_per_shard])
    for i in range(0, len(names), files_per_shard)
  ]
  return [
    ShardJob(os.fspath(source), os.fspath(out), i, len(groups), group, settings)
    for i, group in enumerate(groups)
  ]


def _config(settings):
  return dataclasses.asdict(settings) | {"code_version": _CODE_VERSION}


def _claim(out, plan):
  path = out / "plan.json"
  if path.exists():
    _check_plan(out, json.loads(path.read_text()), plan)
  elif out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise UserError(f"--out {out} holds something else; give another folder")
  try:
    (out / "shards").mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"--out {out}: {error.strerror}; give another folder"
    ) from None
  for leftover in [*out.glob(".*.tmp"), *out.glob("shards/.*.tmp")]:
    leftover.unlink(missing_ok=True)
  files.write_json(path, plan)


def _check_plan(out, old, new):
  remedy = f"give another --out, or delete {out} to begin anew"
  was, now = (
    p["config"] | {"files_per_shard": p["files_per_shard"]} for p in (old, new)
  )
  for key, value in now.items():
    if was.get(key) != value:
      raise UserError(
        f"{out} was begun with {key} {was.get(key)}, not {value}; {remedy}"
      )
  added = sorted(set(new["files"]) - set(old["files"]))
  removed = sorted(set(old["files"]) - set(new["files"]))
  if added or removed:
    raise UserError(
      f"{out} was begun with other files: {len(added)} are new, "
      f"{len(removed)} are gone, such as {(added + removed)[0]}; {remedy}"
    )


def make_shards(jobs, workers):
  """Makes every shard that is not committed; returns how many those were.

  Raises:
    UserError: a shard cannot be written; what is committed stays.
  """
  made = 0
  total = sum(len(job.names) for job in jobs)
  with counting("preparing", total, "files") as advance:
    for job, is_new in run_jobs(make_shard, jobs, workers):
      made += is_new
      advance(len(job.names))
  return made


def make_shard(job):
  """Makes one shard unless it is committed; returns whether it had to."""
  key = _shard_key(job)
  entry = _committed(job)
  if entry and entry["key"] == key:
    return False
  # From here on the dataset is unfinished.
  (pathlib.Path(job.out) / "manifest.json").unlink(missing_ok=True)
  job.entry_path.unlink(missing_ok=True)
  rows, rejects = [], []
  entry = shards.write_shard(
    job.path, job.settings.features(), _records(job, rows, rejects)
  )
  entry |= {"key": key, "rows": rows, "rejects": rejects}
  files.write_json(job.entry_path, entry)
  return True


def _records(job, rows, rejects):
  for name in job.names:
    path = pathlib.Path(job.source) / name
    for record, row in ingest_file(path, name, job.settings):
      if record is None:
        rejects.append(row)
      else:
        rows.append(row)
        yield record


def _committed(job):
  """The entry of a shard that is there and unharmed, else None."""
  try:
    entry = json.loads(job.entry_path.read_text())
  except (FileNotFoundError, ValueError):
    return None
  whole = shards.shard_problem(job.out, entry) is None
  return entry if whole and entry["name"] == job.path.name else None


def _shard_key(job):
  sources = []
  for name in job.names:
    path = pathlib.Path(job.source) / name
    sources.append([name, _digest(path), _digest(truth_path(path))])
  return files.sha256_of_json([_config(job.settings), sources])


def _digest(path):
  try:
    return files.sha256_of_file(path)
  except OSError:  # none, or not readable: to be rejected with a reason
    return None
