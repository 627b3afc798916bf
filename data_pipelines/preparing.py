"""A folder of media files to a frames dataset, one shard after the other.

  OUT/plan.json               configuration and source files: fixes the shards
  OUT/shards/00003.json       shard 3 is committed: hashes, scores, rejects
  OUT/frames-clips...         the shards themselves

`work` has the first two. A shard holds all sub-clips of its files that could
be decoded, whatever their scores, and is a pure function of the configuration
and its source files.
"""

import collections
import contextlib
import dataclasses
import os
import pathlib

from data_pipelines import shards, work
from data_pipelines.fields import frames_features
from data_pipelines.ingest import Settings
from data_pipelines.ingest_apart import ingest_apart
from data_pipelines.names import printable, what_is_wrong
from data_pipelines.pool import run_jobs
from data_pipelines.rejects import Reject
from data_pipelines.truth import read_truth, truth_path
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder

# Raised whenever the same input gives other shards than before.
_CODE_VERSION = 3
# Protocol buffers end at 2 GiB.
_MOST_BYTES = 2**31 - 2**20


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
    return work.entry_path(self.out, self.index)


def make_settings(directory, names, **options):
  """Settings with the tracks of all truth files.

  A bad truth file says nothing. Where files differ about a track, most of them
  are right; the others are rejected later, and counted on a line now.

  Raises:
    UserError: a record could be longer than TFDS can store.
  """
  forms = {}
  with counting("reading truth", len(names), "files") as advance:
    for name in names:
      for track, form in _track_forms(pathlib.Path(directory) / name):
        forms.setdefault(track, collections.Counter())[form] += 1
      advance()
  sizes, categories = {}, {}
  for track, counts in forms.items():
    # Of those that are equally many, the one that came first.
    (sizes[track], names_of_values), count = counts.most_common(1)[0]
    if names_of_values is not None:
      categories[track] = list(names_of_values)
    if count < counts.total():
      print(
        f"{track} has {sizes[track]} numbers a frame in {count} truth files; "
        f"{counts.total() - count} that differ will be rejected"
      )
  settings = Settings(track_sizes=sizes, categories=categories, **options)
  _check_record(settings)
  return settings


def _track_forms(path):
  """(track, (numbers per frame, names of its values or None)) of a file."""
  try:
    truth = read_truth(path)
  except Reject:  # will be said when the file's shard is made
    return
  for track, rows in truth.tracks.items():
    names = truth.categories.get(track)
    yield track, (rows.shape[1], None if names is None else tuple(names))


def _check_record(settings):
  largest = settings.record_bytes
  if largest > _MOST_BYTES:
    most = int(settings.longest * _MOST_BYTES / largest)
    raise UserError(
      f"--max-clip-seconds {settings.longest:g} with --size {settings.size} "
      f"makes records of {largest / 1e9:.1f} GB, more than can be stored; give "
      f"at most {most}"
    )


def make_plan(source, out, names, settings, files_per_shard):
  """Writes plan.json into a claimed folder, or compares; returns the jobs.

  Raises:
    UserError: the folder was begun with another plan.
  """
  plan = {
    "config": _config(settings),
    "files_per_shard": files_per_shard,
    "files": names,
    "source": os.path.abspath(source),
  }
  out = pathlib.Path(out)
  if (out / "plan.json").exists():
    _check_plan(out, work.read_plan(out), plan)
  files.write_json(out / "plan.json", plan)
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


def check_places(out, source=None):
  """Raises UserError if a dataset cannot be written there, or must not be.

  Args:
    out: where the dataset is, or will be.
    source: the folder of the media files, if there is one.
  """
  check_folder(out, reads=[source])
  if source and pathlib.Path(source).resolve().is_relative_to(
    pathlib.Path(out).resolve()
  ):
    raise UserError(
      f"--input {source} lies in --out {out}; give a folder outside of it"
    )


@contextlib.contextmanager
def claimed(out):
  """A context in which the folder `out` is this command's alone.

  Raises:
    UserError: another command is at work there, or it holds something else.
  """
  out = pathlib.Path(out)
  with alone_in(out):
    if not (out / "plan.json").exists() and any(out.iterdir()):
      raise UserError(f"--out {out} holds something else; give another folder")
    for leftover in [*out.glob(".*.tmp"), *out.glob("shards/.*.tmp")]:
      leftover.unlink(missing_ok=True)
    yield


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
      f"{len(removed)} are gone, such as {printable((added + removed)[0])}; "
      f"{remedy}"
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
  job.entry_path.parent.mkdir(exist_ok=True)
  rows, rejects = [], []
  entry = shards.write_shard(
    job.path, frames_features(job.settings), _records(job, rows, rejects)
  )
  entry |= {"key": key, "rows": rows, "rejects": rejects}
  files.write_json(job.entry_path, entry)
  return True


def _records(job, rows, rejects):
  for name in job.names:
    path = pathlib.Path(job.source) / name
    for record, row in ingest_apart(path, name, job.settings):
      if record is None:
        rejects.append(row)
      else:
        rows.append(row)
        yield record


def _committed(job):
  """The entry of a shard that is there and unharmed, else None."""
  try:
    entry = work.read_entry(job.out, job.index)
  except UserError:
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
  if what_is_wrong(path):
    return None  # to be rejected with a reason
  try:
    return files.sha256_of_file(path)
  except OSError:
    return None
