"""Damages files of a finished demo and counts what their readers make of them.

Videos go through launch.prepare, all in one job, which must end well. All
other files are read by the functions that the commands read them with, each
in a child process that is watched as those of prepare are. What counts as a
failure: any other exception than those that users read, a crash, a call that
takes over a minute, too much memory.
"""

import collections
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

from benchmarks import damage_subjects as subjects
from benchmarks.damaging import damaged
from data_pipelines.isolation import Crash, Isolated, Limits
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from launch import cli
from launch.arguments import Parser, integer

_EPILOG = """example:
  make demo && python -m benchmarks.damage --count 10000 --seed 1

Equal seeds damage alike. Ends with status 1 if anything failed; the damaged
files of failures are kept in --keep.
"""
# Of 20 trials so many are of each kind.
_SHARES = {
  "video": 3,
  "sound": 3,
  "picture": 4,
  "json": 6,
  "table": 3,
  "checkpoint": 1,
}
_LIMITS = Limits(seconds=60.0, memory=4 << 30)


@dataclasses.dataclass
class Tally:
  """Outcomes by kind, and what failed."""

  counts: dict = dataclasses.field(
    default_factory=lambda: collections.defaultdict(collections.Counter)
  )
  failures: list = dataclasses.field(default_factory=list)
  slowest: float = 0.0

  def add(self, kind, outcome, failure=None):
    """Counts one trial."""
    self.counts[kind][outcome] += 1
    if failure:
      self.failures.append(failure)

  def print(self):
    """A line for each kind and outcome."""
    for kind, counts in self.counts.items():
      for outcome, count in counts.most_common():
        print(f"{kind:<12}{outcome:<28}{count:>7}")
    print(f"slowest call {self.slowest:.1f} s, {len(self.failures)} failures")
    for failure in self.failures[:20]:
      print(f"  {failure}")


def try_files(kind, count, rng, sources, keep, tally):
  """Damages files of one kind, one after the other."""
  child = Isolated()
  with counting(kind, count, "files") as advance:
    for number in range(count):
      subject = sources[rng.integers(len(sources))]
      scratch = keep / "scratch" / str(number)
      path = subject.damaged_copy(scratch, rng)
      began = time.monotonic()
      result, failure = _try(child, subject.reader, path)
      tally.slowest = max(tally.slowest, time.monotonic() - began)
      if failure:
        kept = keep / f"{kind}-{number}-{subject.file.name}"
        subject.keep(path, kept)
        failure = f"{kept}: {subject.reader}: {failure}"[:300]
      tally.add(kind, result, failure)
      shutil.rmtree(scratch)
      advance()
  child.close()


def _try(child, reader, path):
  """(outcome, what failed or None) of one reading."""
  try:
    (result,) = child.pieces(subjects.outcome, reader, path, limits=_LIMITS)
    return result, None
  except Crash as crash:
    return crash.reason, crash.detail
  except Exception as error:
    return f"TRACEBACK {type(error).__name__}", repr(error)


def try_videos(count, rng, videos, workers, keep, tally):
  """Damages videos and prepares all of them in one job."""
  folder = keep / "videos"
  folder.mkdir(parents=True)
  contents = [path.read_bytes() for path in videos]
  for number, which in enumerate(rng.integers(len(videos), size=count)):
    name = f"{number:05d}{videos[which].suffix}"
    (folder / name).write_bytes(damaged(contents[which], rng))
  command = [sys.executable, "-m", "launch.prepare", "--faces=whole"]
  command += ["--size=32", f"--workers={workers}", f"--input={folder}"]
  began = time.monotonic()
  done = subprocess.run([*command, f"--out={keep / 'prepared'}"])
  print(f"prepare: {(time.monotonic() - began) / max(count, 1):.2f} s a video")
  if done.returncode:
    tally.add("video", "job failed", f"prepare ended with {done.returncode}")
    return
  lines = (keep / "prepared" / "scores.jsonl").read_text().splitlines()
  for line in lines:
    tally.add("video", json.loads(line)["reason"] or "kept")


def main(argv=None):
  """The command."""
  parser = Parser("damage", __doc__, _EPILOG)
  parser.prog = "python -m benchmarks.damage"
  add = parser.add_argument
  add("--demo", default="runs/demo", help="of make demo (default %(default)s)")
  add("--count", type=integer(20), default=10_000, help="default 10000")
  add("--seed", type=integer(0), default=1, help="of the damage (default 1)")
  add("--workers", type=integer(1), default=2, help="of prepare (default 2)")
  add("--kinds", default=",".join(_SHARES), help="default %(default)s")
  add("--keep", default="runs/damage", help="new folder for what fails")
  args = parser.parse_args(argv)
  unknown = set(args.kinds.split(",")) - set(_SHARES)
  if unknown:
    raise UserError(
      f"--kinds {', '.join(unknown)}; known: {', '.join(_SHARES)}"
    )
  keep = pathlib.Path(args.keep)
  if keep.exists():
    raise UserError(
      f"--keep {keep} is there; name another folder, or delete it"
    )
  (keep / "sources").mkdir(parents=True)
  (keep / "scratch").mkdir()
  sources = subjects.sources(pathlib.Path(args.demo), keep / "sources")
  tally = Tally()
  for kind in args.kinds.split(","):
    rng = np.random.default_rng([args.seed, sum(kind.encode())])
    count = args.count * _SHARES[kind] // sum(_SHARES.values())
    if kind == "video":
      try_videos(count, rng, sources[kind], args.workers, keep, tally)
    else:
      try_files(kind, count, rng, sources[kind], keep, tally)
  tally.print()
  return int(bool(tally.failures))


if __name__ == "__main__":
  cli.run(main)
