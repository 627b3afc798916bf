"""Plans and runs the trainings that a scaling law needs.

  python -m launch.sweep plan --config configs/scaling.py --out DIR \\
    --budgets 1e15,3e15,1e16,3e16 --check 2e17 --device h100
  python -m launch.sweep run DIR --jobs 2
  python -m launch.sweep status DIR
  python -m launch.fit --points DIR/points.csv --out DIR/fit

plan    writes DIR/sweep.json and prints every cell: at each budget seven sizes
        or more around the expected optimum, with steps, rate, epochs, FLOPs and
        hours. Nothing is trained. --config.KEY=VALUE changes a value, such as
        --config.data.tokens=DIR; --config.sweep.ladder.* are the rules.
run     trains and measures all cells, the runs of a size sharing a trunk.
        Kill it and run it again: it goes on where it was. A cluster runs one
        cell in each process: run DIR --cell $SLURM_ARRAY_TASK_ID
status  says what became of each cell.

DIR/points.csv is for launch.fit, DIR/cells/NAME/result.json has more, the
--check cells are in checks.csv and in no fit. A cell that diverged is a line
with diverged = 1 and its reason in result.json. Losses are those of averaged
weights on one fixed set of held-out frames, noise levels, times and noise.
exit status: 0 all is well, 1 cells failed, 2 wrong use
"""

import os
import pathlib
import subprocess
import sys
import time

from absl import flags

from eartalk_jax.counting import counting
from eartalk_jax.jobs.sweep_cells import run_cells, shared_probe
from eartalk_jax.jobs.sweep_planning import check_data
from eartalk_jax.locks import alone_in
from eartalk_jax.scaling.sweep_files import read_plan, write_points
from eartalk_jax.scaling.sweep_table import status_table
from launch import cli, configured, out_flag, sweep_plan
from launch.arguments import Parser, integer

_LOOK_EVERY_S = 0.5


def main():
  """Runs the command that the first argument names."""
  if sys.argv[1:2] == ["plan"]:
    del sys.argv[1]
    flags.adopt_module_key_flags(configured)  # so that --help shows them
    flags.adopt_module_key_flags(sweep_plan)
    flags.adopt_module_key_flags(out_flag)
    configured.run(sweep_plan.main, alone=True)
  cli.run(_run_or_status)


def _run_or_status():
  args = _parser().parse_args()
  sweep = read_plan(args.directory)
  if args.command == "status":
    print(status_table(sweep))
    return 0
  check_data(sweep)
  if args.cell is not None:
    return _run_one(sweep, args.cell)
  with alone_in(args.directory, "DIR"):
    return _run_all(sweep, args.jobs)


def _parser():
  parser = Parser("sweep", __doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  commands.add_parser("plan", help="see plan --help")
  for name, text in (
    ("run", "train and measure what is not done yet"),
    ("status", "what became of each cell"),
  ):
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument(
      "directory", type=pathlib.Path, metavar="DIR", help="of the plan"
    )
    if name == "run":
      command.add_argument(
        "--jobs",
        type=integer(1, 1024),
        default=1,
        metavar="N",
        help="sizes at a time; they share this machine's cores (default 1)",
      )
      command.add_argument(
        "--cell",
        type=integer(0),
        metavar="I",
        help="this cell alone, in this process; it waits where another "
        "process trains the trunk that both need",
      )
  return parser


def _run_one(sweep, number):
  run_cells(sweep.directory, [number])
  write_points(sweep)
  return 0


def _run_all(sweep, jobs):
  """Runs the cells in processes, one for the cells of a size."""
  waiting = _sizes(sweep)
  if waiting and sweep.settings.clips:
    shared_probe(sweep)  # before several processes ask for it
  running, failed = {}, []
  cores = sorted(os.sched_getaffinity(0))
  free = [cores[job::jobs] or cores for job in range(jobs)]
  found = set(sweep.results())
  with counting("sweep", len(sweep.cells), "cells") as advance:
    advance(len(found))
    try:
      while waiting or running:
        while waiting and free:
          numbers, mine = waiting.pop(0), free.pop()
          running[_start(sweep, numbers, mine)] = numbers, mine
        time.sleep(_LOOK_EVERY_S)
        for process in [p for p in running if p.poll() is not None]:
          numbers, mine = running.pop(process)
          free.append(mine)
          failed += [numbers] * (process.returncode != 0)
        now = set(sweep.results())
        if now != found:
          advance(len(now) - len(found))
          found = now
          write_points(sweep)
    finally:
      for process in running:
        process.terminate()  # it saves what it has
      for process in running:
        process.wait()
  write_points(sweep)
  print(status_table(sweep))
  for numbers in failed:
    print(f"failed: {_last_words(sweep, numbers)}", file=sys.stderr)
  return int(len(found) < len(sweep.cells))


def _sizes(sweep):
  """Numbers of the cells to do, a list for each size, the longest first."""
  numbers = {cell: number for number, cell in enumerate(sweep.cells)}
  done = sweep.results()
  groups = {}
  for cell in sweep.cells:
    if cell not in done and cell.size not in groups:
      mates = sweep.size_mates(cell)
      groups[cell.size] = [mate for mate in mates if mate not in done]
  longest = sorted(groups.values(), key=lambda mates: -mates[-1].flops)
  return [[numbers[mate] for mate in mates] for mates in longest]


def _start(sweep, numbers, cores):
  """A process that runs those cells; its words go to a log."""
  log = _log(sweep, numbers)
  log.parent.mkdir(exist_ok=True)
  with open(log, "a") as out:
    process = subprocess.Popen(
      [sys.executable, "-m", "launch.sweep_cells", str(sweep.directory)]
      + list(map(str, numbers)),
      stdout=out,
      stderr=subprocess.STDOUT,
    )
  # At once: the threads that it will start inherit its cores.
  os.sched_setaffinity(process.pid, cores)
  return process


def _log(sweep, numbers):
  return sweep.directory / "logs" / f"{sweep.cells[numbers[0]].shape}.txt"


def _last_words(sweep, numbers):
  log = _log(sweep, numbers)
  lines = log.read_text(errors="replace").splitlines()
  errors = [line for line in lines if line.startswith("error:")]
  return f"{(errors or lines or ['nothing said'])[-1]} ({log})"


if __name__ == "__main__":
  main()
