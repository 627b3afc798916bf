"""Says where a run's time went and how often it was stopped.

Reads WORKDIR/events.jsonl only, so it also works while the run goes on, and
on any machine.
"""

import os
import pathlib
import time

from rich.console import Console
from rich.table import Table

from eartalk_jax import files
from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  committed_steps,
)
from eartalk_jax.errors import UserError
from eartalk_jax.outputs import check_file
from eartalk_jax.telemetry.events import read_events
from eartalk_jax.telemetry.goodput import goodput
from launch import cli
from launch.arguments import Parser

# Of a work directory, what a run needs; none of it may be written over.
_READS = ("config.json", "metrics.jsonl", "checkpoints", "tokenizer")

_EPILOG = """example:
  python -m launch.goodput runs/demo/talker --plot runs/demo/goodput.png
"""


def _arguments(argv):
  parser = Parser("goodput", __doc__, _EPILOG)
  parser.add_argument("workdir", help="work directory of a training run")
  parser.add_argument("--json", help="also write the figures to this file")
  parser.add_argument("--plot", help="also draw them, as a PNG file")
  return parser.parse_args(argv)


def summary(found, unsaved):
  """All figures of a Goodput as JSON."""
  return {
    "wall_seconds": found.wall,
    "goodput": found.goodput,
    "buckets": found.buckets,
    "wasted_steps": found.wasted_steps,
    "unsaved_steps": unsaved,
    "attempts": [vars(attempt) for attempt in found.attempts],
  }


def _unsaved(found, workdir):
  """Steps of the last attempt after the last checkpoint that is there."""
  last = found.attempts[-1]
  if last.last is None:
    return 0
  saved = max(committed_steps(checkpoints_of(workdir)), default=0)
  return max(last.last - max(saved, last.first), 0)


def _print(found, unsaved):
  # Wide enough for a file: rich would fold lines at 80 columns there.
  console = Console(highlight=False, soft_wrap=True)
  table = Table("bucket", box=None, pad_edge=False)
  for name in ("seconds", "share"):
    table.add_column(name, justify="right")
  rows = [*found.buckets.items(), ("wall time", found.wall)]
  for name, seconds in rows:
    if seconds or name == "unaccounted":
      share = seconds / max(found.wall, 1e-9)
      table.add_row(name, f"{seconds:.1f}", f"{share:.1%}")
  console.print(table)
  console.print(
    f"\ngoodput {found.goodput:.1%}: {found.buckets['step']:.1f} s of steps "
    f"that count in {found.wall:.1f} s; {found.wasted_steps} steps done twice"
  )
  if unsaved:
    console.print(f"{unsaved} steps after the last checkpoint are not saved")
  console.print()
  table = Table("attempt", "started", box=None, pad_edge=False)
  for name in ("seconds", "steps", "wasted"):
    table.add_column(name, justify="right")
  table.add_column("ended")
  for number, attempt in enumerate(found.attempts, 1):
    steps = "" if attempt.last is None else f"{attempt.first}-{attempt.last}"
    table.add_row(
      str(number),
      time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(attempt.begin)),
      f"{attempt.end - attempt.begin:.1f}",
      steps,
      str(attempt.wasted),
      attempt.how if attempt.how != "running" else "running, or killed",
    )
  console.print(table)


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  reads = [*pathlib.Path(args.workdir).glob("events*.jsonl")]
  reads += [pathlib.Path(args.workdir) / name for name in _READS]
  if args.json is not None:
    check_file(args.json, "--json", reads)
  if args.plot is not None:
    check_file(args.plot, "--plot", reads, ".png")
  if (
    args.json
    and args.plot
    and os.path.realpath(args.json) == os.path.realpath(args.plot)
  ):
    raise UserError("--json and --plot are one file; give two")
  found = goodput(read_events(args.workdir))
  unsaved = _unsaved(found, args.workdir)
  _print(found, unsaved)
  if args.json:
    files.write_json(args.json, summary(found, unsaved))
  if args.plot:
    # Not needed otherwise, and slow to import.
    from eartalk_jax.telemetry.goodput_plot import draw

    draw(found, args.plot)


if __name__ == "__main__":
  cli.run(main)
