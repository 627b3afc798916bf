"""Turns folders of talking-head videos into a frames dataset."""

import pathlib

from rich.console import Console
from rich.table import Table

from data_pipelines import filters, finishing, preparing, rejects
from data_pipelines.faces import load_detector
from data_pipelines.finding import find_media
from data_pipelines.names import printable
from data_pipelines.pool import cores
from eartalk_jax.errors import UserError
from eartalk_jax.spans import FPS
from launch import cli
from launch.arguments import Parser, integer, number

_EXAMPLE = """examples:
  python -m launch.prepare --input videos --out data/frames --size 128
  python -m launch.prepare --out data/frames --min-loudness -35

OUT gets 25 pictures per second, cropped to the face, with 16 kHz sound and the
truth of NAME.truth.json where there is one beside NAME.mp4.
Run the same command again after an interruption: finished shards are skipped.
Filters never decode: without --input they are applied anew to what OUT holds
(clips that were left out come back if the new limits let them).
The dataset is read by data_pipelines.shards.open_dataset, or by
tfds.builder_from_directory(OUT).as_data_source(split="all"), which also shows
what a filter left out. OUT/scores.jsonl has each clip's scores and verdict.
"""


def _arguments():
  parser = Parser("prepare", __doc__, _EXAMPLE)
  add = parser.add_argument
  add("--input", metavar="DIR", help="folder tree of videos, links included")
  add("--out", required=True, metavar="DIR")
  add(
    "--size",
    type=integer(16, 1024),
    default=64,
    help="pixels a side, a multiple of 8 (default 64)",
  )
  add(
    "--faces",
    default="cascade",
    help="cascade (default), whole (the videos are cropped already), or "
    "package.module:function, your code, which is run with your rights: it is "
    "given a picture uint8 [Y, X, 3] and returns [(x, y, size, score), ...]: "
    "squares from eyebrows to chin",
  )
  add(
    "--max-clip-seconds",
    type=number(1, 36_000),
    default=20.0,
    metavar="S",
    help="longer shots are cut into equal parts (default 20)",
  )
  add("--files-per-shard", type=integer(1), default=16, metavar="N")
  add(
    "--workers",
    type=integer(1, 1024),
    default=cores(),
    help="processes (default: one for each core)",
  )
  _add_filters(parser.add_argument_group("filters"))
  return parser.parse_args()


def _add_filters(group):
  for rule in filters.FILTERS:
    group.add_argument(
      f"--{rule.option.replace('_', '-')}",
      type=number(),
      default=rule.default,
      metavar="X",
      help=f"{rule.help} (default {rule.default:g}); else {rule.reason}",
    )


def _check(args):
  if args.size % 8:
    raise UserError(f"--size {args.size}: give a multiple of 8")
  if not args.out.isascii():
    try:
      args.out.encode()
    except UnicodeEncodeError:
      raise UserError(
        f"--out {printable(args.out)}: give a name in UTF-8"
      ) from None
  if args.input is None and not pathlib.Path(args.out).is_dir():
    raise UserError(
      f"--out {args.out} is no folder; run the command with --input first"
    )
  preparing.check_places(args.out, args.input)


def _make_shards(args, names):
  settings = preparing.make_settings(
    args.input,
    names,
    size=args.size,
    faces=args.faces,
    longest=args.max_clip_seconds,
  )
  jobs = preparing.make_plan(
    args.input, args.out, names, settings, args.files_per_shard
  )
  made = preparing.make_shards(jobs, args.workers)
  print(f"{made} shards made, {len(jobs) - made} were there before")


def _summary(counts):
  total = sum(counts.values())
  meanings = rejects.REASONS | {r.reason: r.help for r in filters.FILTERS}
  table = Table("verdict", "clips", "share", "about")
  for reason, count in sorted(counts.items(), key=lambda item: -item[1]):
    about = meanings.get(reason, "")
    share = f"{count / total:.1%}" if total else ""
    table.add_row(reason or "kept", str(count), share, about)
  Console().print(table)


def main():
  """The command."""
  args = _arguments()
  _check(args)
  names = None
  if args.input is not None:
    load_detector(args.faces)  # a wrong name is said before any work
    found = find_media(args.input, but=args.out)
    for line in found.lines():
      print(line)
    names = found.names
  with preparing.claimed(args.out):
    if names is not None:
      _make_shards(args, names)
    _finish(args)
  return 0


def _finish(args):
  limits = {rule.option: getattr(args, rule.option) for rule in filters.FILTERS}
  selection = finishing.select(args.out, limits)
  _summary(selection.counts())
  manifest = finishing.finish(args.out, selection)
  print(
    f"{args.out}: {manifest['clips']} clips, {manifest['frames']} frames "
    f"({manifest['frames'] / FPS / 60:.1f} minutes)"
  )


if __name__ == "__main__":
  cli.run(main)
