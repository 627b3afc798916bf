"""Makes the embedded corpus: procedural talking heads as mp4 files."""

import argparse
import json
import pathlib

from data_pipelines.corpus.clips import PARTS, ClipJob, make_clip
from data_pipelines.pool import cores, run_jobs
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from launch import cli

_EXAMPLE = """example:
  python -m launch.make_corpus --out data/corpus --clips 720 --held-out 40 \\
    --seconds 2 --held-out-seconds 4 --seed 3

DIR/train and DIR/held_out get clip_0000.mp4, ... each with its
clip_0000.truth.json: mouth, pose, blink, gaze and emotion per frame and the
phonemes. The parts share no person, voice or sentence. Run the command again
to continue after an interruption, or with more --clips to add some.
"""
# Counts changes of what a seed makes: old and new clips do not mix.
_VERSION = 2


def _arguments():
  parser = argparse.ArgumentParser(
    prog="python -m launch.make_corpus",
    description=__doc__,
    epilog=_EXAMPLE,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--out", required=True, metavar="DIR")
  parser.add_argument(
    "--clips", type=int, required=True, help="how many, both parts together"
  )
  parser.add_argument("--seed", type=int, required=True)
  parser.add_argument(
    "--seconds", type=float, default=4.0, help="length of a clip (default 4)"
  )
  parser.add_argument(
    "--held-out-seconds",
    type=float,
    help="length of a held-out clip (default: as long as the others)",
  )
  parser.add_argument(
    "--held-out",
    type=float,
    default=0.1,
    help="share of the clips if below 1, else their number (default 0.1)",
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=cores(),
    help="processes (default: one for each core)",
  )
  return parser.parse_args()


def _check(args):
  if args.clips < 1:
    raise UserError(f"--clips {args.clips}: at least 1 is needed")
  if not 0 <= args.held_out <= args.clips:
    raise UserError(
      f"--held-out {args.held_out:g}: give a share below 1 or a number up to"
      f" --clips ({args.clips})"
    )
  for flag in ("seconds", "held_out_seconds"):
    if not 0.5 <= getattr(args, flag) <= 3600:
      name = flag.replace("_", "-")
      raise UserError(f"--{name} {getattr(args, flag):g}: give 0.5 to 3600")
  if args.workers < 1 or args.seed < 0:
    raise UserError("--workers must be at least 1 and --seed at least 0")


def _claim(root, args):
  """Makes sure that the folder is new or holds this very corpus."""
  settings = {
    "version": _VERSION,
    "seed": args.seed,
    "seconds": args.seconds,
    "held_out_seconds": args.held_out_seconds,
  }
  note = root / "corpus.json"
  try:
    root.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"--out {root}: {error.strerror}; name another folder"
    ) from error
  if note.exists():
    found = json.loads(note.read_text())
    if found != settings:
      raise UserError(
        f"{root} holds a corpus made with {found}, not {settings};"
        " name another --out or delete it"
      )
  files.write_json(note, settings)
  for leftover in root.glob("*/.*.tmp"):
    leftover.unlink(missing_ok=True)


def main():
  """The command."""
  args = _arguments()
  if args.held_out_seconds is None:
    args.held_out_seconds = args.seconds
  _check(args)
  root = pathlib.Path(args.out)
  _claim(root, args)
  held = round(args.held_out * (args.clips if args.held_out < 1 else 1))
  counts = dict(zip(PARTS, (args.clips - held, held), strict=True))
  seconds = dict(zip(PARTS, (args.seconds, args.held_out_seconds), strict=True))
  jobs = [
    ClipJob(str(root), args.seed, part, i, seconds[part])
    for part, count in counts.items()
    for i in range(count)
  ]
  missing = [job for job in jobs if not job.is_finished]
  with counting("making clips", len(missing), "clips") as advance:
    for _ in run_jobs(make_clip, missing, args.workers):
      advance()
  print(
    f"{root}: {counts['train']} training and {held} held-out clips,"
    f" {len(jobs) - len(missing)} were there before"
  )
  return 0


if __name__ == "__main__":
  cli.run(main)
