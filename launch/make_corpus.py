"""Makes the embedded corpus: drawn talking heads as mp4 files."""

import contextlib
import pathlib

from data_pipelines.corpus.clips import PARTS, ClipJob, make_clip
from data_pipelines.pool import cores, run_jobs
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from launch import cli
from launch.arguments import Parser, integer, number

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
  parser = Parser("make_corpus", __doc__, _EXAMPLE)
  parser.add_argument("--out", required=True, metavar="DIR")
  parser.add_argument(
    "--clips",
    type=integer(1, 1_000_000),
    required=True,
    help="how many, both parts together",
  )
  parser.add_argument("--seed", type=integer(0, 2**63), required=True)
  parser.add_argument(
    "--seconds",
    type=number(0.5, 3600),
    default=4.0,
    help="length of a clip (default 4)",
  )
  parser.add_argument(
    "--held-out-seconds",
    type=number(0.5, 3600),
    help="length of a held-out clip (default: as long as the others)",
  )
  parser.add_argument(
    "--held-out",
    type=number(0),
    default=0.1,
    help="share of the clips if below 1, else their number (default 0.1)",
  )
  parser.add_argument(
    "--scale",
    type=integer(1, 8),
    default=1,
    help="pictures so many times as large as 160 to 192 px (default 1)",
  )
  parser.add_argument(
    "--workers",
    type=integer(1, 1024),
    default=cores(),
    help="processes (default: one for each core)",
  )
  return parser.parse_args()


@contextlib.contextmanager
def _claimed(root, args):
  """A context in which the folder is ours: new, or with this very corpus."""
  settings = {
    "version": _VERSION,
    "seed": args.seed,
    "seconds": args.seconds,
    "held_out_seconds": args.held_out_seconds,
  }
  if args.scale != 1:  # older corpora go on
    settings["scale"] = args.scale
  check_folder(root)
  with alone_in(root):
    note = root / "corpus.json"
    if note.exists():
      found = read_shaped(note, dict, f"delete {root}")
      if found != settings:
        raise UserError(
          f"{root} holds a corpus made with {found}, not {settings};"
          " name another --out or delete it"
        )
    elif any(root.iterdir()):
      raise UserError(f"--out {root} holds something else; name another folder")
    files.write_json(note, settings)
    for leftover in root.glob("*/.*.tmp"):
      leftover.unlink(missing_ok=True)
    yield


def _make(root, args):
  held = round(args.held_out * (args.clips if args.held_out < 1 else 1))
  counts = dict(zip(PARTS, (args.clips - held, held), strict=True))
  seconds = dict(zip(PARTS, (args.seconds, args.held_out_seconds), strict=True))
  jobs = [
    ClipJob(str(root), args.seed, part, i, seconds[part], args.scale)
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


def main():
  """The command."""
  args = _arguments()
  if args.held_out_seconds is None:
    args.held_out_seconds = args.seconds
  if args.held_out > args.clips:
    raise UserError(
      f"--held-out {args.held_out:g}: give a share below 1 or a number up to"
      f" --clips ({args.clips})"
    )
  root = pathlib.Path(args.out)
  with _claimed(root, args):
    _make(root, args)
  return 0


if __name__ == "__main__":
  cli.run(main)
