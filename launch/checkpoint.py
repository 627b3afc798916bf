"""Says what checkpoints a run has and if they are whole.

Needs neither the model nor an accelerator; a run may go on meanwhile.
"""

import contextlib
import datetime
import json
import math
import pathlib

import jax

from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  is_committed,
  leftovers,
  numbered,
  require_step,
  saved_at,
  size_of,
)
from eartalk_jax.checkpoints.checkpoint_reading import read_metadata
from eartalk_jax.checkpoints.manifest import find_damage, has_manifest
from eartalk_jax.errors import UserError
from eartalk_jax.files import sha256_of_json
from launch import cli
from launch.arguments import Parser, integer

_EXAMPLES = """
examples:
  python -m launch.checkpoint list runs/ear_1b
  python -m launch.checkpoint verify runs/ear_1b            every step
  python -m launch.checkpoint verify runs/ear_1b --step 500
  python -m launch.checkpoint inspect runs/ear_1b           the newest step
  python -m launch.checkpoint inspect runs/ear_1b --config  what it is made of

A run verifies a checkpoint itself before it goes on from it. If one is
damaged, move its folder away: the run goes on from the one before.

exit status: 0 all is well, 1 verify found damage, 2 wrong use
"""


def main(argv=None):
  """Runs the command that the arguments name; returns its exit status."""
  arguments = _parser().parse_args(argv)
  directory = _open(arguments.workdir)
  if arguments.command == "list":
    return _list(directory)
  steps = _chosen(directory, arguments.step)
  if arguments.command == "verify":
    return _verify(directory, steps)
  return _inspect(directory / str(steps[-1]), arguments.config)


def _parser():
  parser = Parser("checkpoint", __doc__, _EXAMPLES)
  commands = parser.add_subparsers(dest="command", required=True)
  for name, text in (
    ("list", "steps, dates, sizes, and which of them count"),
    ("verify", "compare every file's size and hash with the manifest"),
    ("inspect", "parameters, totals, data position and fingerprint"),
  ):
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument(
      "workdir", metavar="DIR", help="the --workdir of a training run"
    )
    if name != "list":
      command.add_argument("--step", type=integer(0), help="this one alone")
    if name == "inspect":
      command.add_argument(
        "--config",
        action="store_true",
        help="also what the run is made of: model, data, optimizer",
      )
  return parser


def _open(workdir):
  """The folder of checkpoints, or UserError."""
  directory = checkpoints_of(workdir)
  if numbered(directory):
    return directory
  here = pathlib.Path(workdir).absolute()
  for above in here.parents[:2]:
    if numbered(checkpoints_of(above)):
      raise UserError(f"{workdir} lies inside a work directory; give {above}")
  raise UserError(
    f"{workdir} holds no checkpoints (no {directory.name}/STEP in it); give "
    "the --workdir of a training run that has saved"
  )


def _chosen(directory, step):
  steps = numbered(directory)
  if step is None:
    return steps
  require_step(step, steps, directory)
  return [step]


def _list(directory):
  print(f"{'step':>10}  {'saved':<16}  {'size':>9}  state")
  for step in numbered(directory):
    path = directory / str(step)
    if not is_committed(path):
      state = "not committed: half a copy?"
    elif has_manifest(path):
      state = "committed, with a manifest to verify"
    else:
      state = "committed, no manifest"
    with contextlib.suppress(FileNotFoundError):  # the run deleted it meanwhile
      size = f"{size_of(path) / 2**20:.1f} MiB"
      print(f"{step:>10}  {_date(path):<16}  {size:>9}  {state}")
  for path in leftovers(directory):
    print(f"{path.relative_to(directory)}: under way, or left by a kill")
  return 0


def _verify(directory, steps):
  """Prints a line for each step and each damaged file; 1 if there are any."""
  damaged = 0
  for step in steps:
    path = directory / str(step)
    problems = find_damage(path)
    if not is_committed(path):
      problems.insert(0, "commit_success.txt is missing: half a copy?")
    if problems:
      damaged += 1
      print(f"{step}: damaged", *problems, sep="\n  ")
    elif has_manifest(path):
      print(f"{step}: every file is as it was written")
    else:
      print(f"{step}: no manifest: it is committed, but nothing says of what")
  return int(damaged > 0)


def _inspect(path, with_config):
  jax.config.update("jax_platforms", "cpu")  # a run may have the accelerator
  problems = find_damage(path)
  if problems or not is_committed(path):
    why = "; ".join(problems[:3]) or "it was not committed"
    raise UserError(f"{path} is damaged: {why}")
  ema, state, data = read_metadata(path)
  try:
    lines = _lines(path, ema, state, data)
  except (LookupError, TypeError, AttributeError) as error:
    raise UserError(
      f"{path} is damaged: what it says of its run is not complete ({error!r})"
    ) from None
  width = max(map(len, ema))
  for name, (shape, dtype) in ema.items():
    print(f"{name:<{width}}  {dtype:<9}{list(shape)}")
  print(*lines, sep="\n")
  if with_config:
    print(json.dumps(data["fingerprint"], indent=2))
  return 0


def _lines(path, ema, state, data):
  """What there is to say of a checkpoint."""
  run = data["fingerprint"]
  return [
    f"step              {data['step']}, saved {_date(path)}",
    f"parameters        {_count(ema):,}",
    *_history(data, state),
    f"on disk           {size_of(path) / 2**20:.1f} MiB",
    f"fingerprint       {sha256_of_json(run)[:16]}",
    *(f"  {name:<16}{sha256_of_json(part)[:16]}" for name, part in run.items()),
  ]


def _history(data, state):
  """Lines on what only a checkpoint of a run has."""
  if data.get("weights_only"):
    return [
      "state             none: weights to begin with, of launch.import_torch"
    ]
  mesh = " x ".join(f"{axis} {size}" for axis, size in data["mesh"].items())
  batch = data["fingerprint"]["run"]["batch_size"]
  return [
    f"state             {_count(state):,} numbers: step, parameters, moments",
    f"data position     {data['step']} batches of {batch}",
    f"saved with        processes={data['processes']} on the mesh {mesh}",
  ]


def _count(arrays):
  return sum(math.prod(shape) for shape, _ in arrays.values())


def _date(path):
  seconds = saved_at(path)
  if seconds is None:
    return "?"
  date = datetime.datetime.fromtimestamp(seconds)
  return date.isoformat(" ", "minutes")


if __name__ == "__main__":
  cli.run(main)
