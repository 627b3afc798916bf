"""Streams for minutes and says whether anything drifts."""

import itertools

import numpy as np

from data_pipelines.shards import open_dataset
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.documents import without_nan
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import long_run, rollouts
from eartalk_jax.evaluation.held_out import check_fit, load_clips
from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_store import probe_for
from eartalk_jax.generate import load_generator
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from eartalk_jax.spans import FPS
from eartalk_jax.training.compilation import use_compile_cache
from launch import cli
from launch.arguments import Parser, integer, number

_EPILOG = """example:
  python -m launch.long_run --checkpoint runs/demo/talker \\
    --data runs/demo/frames/held_out --probe-data runs/demo/frames/train \\
    --probe runs/demo/evaluation/probe --out runs/long_run

DIR gets long_run.json and long_run.png: curves of lip correlation, identity,
sharpness, colour and motion. A bin that leaves its band (see
eartalk_jax.evaluation.long_run) is an alarm; the status is then 1. With several
checkpoints, curves are drawn into one picture and alarms of the first one
count.
"""


def measure(generator, clips, probe, args):
  """Streams and measures: the curves of `long_run.Meter`."""
  frames = round(args.minutes * 60 * FPS)
  streams = rollouts.long_streams(generator, clips, frames, args.streams)
  if not streams:
    raise UserError(f"{args.data} has no clip with the truth of its mouth")
  orders = [spoken.order for spoken in streams]
  portraits_BYX3 = np.stack([order.portrait_YX3 for order in orders])
  meter = long_run.Meter(portraits_BYX3, probe, round(args.bin * 60 * FPS))
  with counting("streams", frames * len(orders), "frames") as advance:
    for chunk_BtYX3 in rollouts.stream(generator, orders, seed=0):
      meter.push(chunk_BtYX3)
      advance(len(orders) * chunk_BtYX3.shape[1])
  return meter.curves(np.stack([spoken.mouth_TK[:, 0] for spoken in streams]))


def _arguments(argv):
  parser = Parser("long_run", __doc__, _EPILOG)
  add = parser.add_argument
  add(
    "--checkpoint",
    required=True,
    nargs="+",
    help="work directories of launch.train",
  )
  add("--data", required=True, help="frames dataset of held-out clips")
  add(
    "--probe-data", required=True, help="frames dataset to train the probe on"
  )
  add("--probe", help="where the probe is kept (default: probe/ in --out)")
  add("--out", required=True, metavar="DIR")
  # A bin holds two frames or more, and a day has 1440 minutes.
  minutes, people = number(0.002, 14_400), integer(2, 10_000)
  add("--minutes", type=minutes, default=10.0, help="to stream (default 10)")
  add("--bin", type=minutes, default=0.5, help="minutes of a bin (default 0.5)")
  add(
    "--streams",
    type=people,
    default=4,
    help="people at a time, two or more to tell one from another (default 4)",
  )
  args = parser.parse_args(argv)
  if args.minutes < 2 * args.bin:
    raise UserError(
      f"--minutes {args.minutes} makes less than two bins of {args.bin}"
    )
  return args


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  reads = [*args.checkpoint, args.data, args.probe_data]
  check_folder(args.out, reads=reads)
  if args.probe is not None:
    check_folder(args.probe, "--probe", reads)
  with alone_in(args.out) as args.out:
    use_compile_cache()
    runs = _measure_all(args)
    alarms = {path: long_run.alarms(curves) for path, curves in runs.items()}
    _write(args, runs, alarms)
  _tell(args, runs, alarms)
  return 1 if alarms[args.checkpoint[0]] else 0


def _measure_all(args):
  """The curves of all checkpoints: {path: curves}."""
  generators = {path: load_generator(path) for path in args.checkpoint}
  held_out = open_dataset(args.data, "frames")
  for generator in generators.values():
    check_fit(generator, held_out)
  tracks = list(held_out.manifest["track_sizes"])
  dataset = open_dataset(args.probe_data, "frames")
  size = next(iter(generators.values())).size
  probe = probe_for(
    args.probe or args.out / "probe",
    dataset.fingerprint,
    dataset.source,
    probe_config(dataset.manifest, size),
  )

  def clips(generator):
    return load_clips(
      held_out.source, generator.speech, tracks, 40, 100, seed=0
    )

  return {
    path: measure(generator, clips(generator), probe, args)
    for path, generator in generators.items()
  }


def _write(args, runs, alarms):
  long_run.draw(args.out / "long_run.png", runs, args.bin)
  found = {
    path: {
      "bin_minutes": args.bin,
      "curves": {name: list(map(float, c)) for name, c in curves.items()},
      "alarms": alarms[path],
    }
    for path, curves in runs.items()
  }
  files.write_json(args.out / "long_run.json", without_nan(found))


def _tell(args, runs, alarms):
  for path, curves in runs.items():
    print(path)
    for name, values_Z in curves.items():
      first, last = values_Z[0], values_Z[-1]
      low, high = values_Z.min(), values_Z.max()
      print(
        f"  {name:10} first {first:7.3f}  last {last:7.3f}  lowest {low:7.3f}"
        f"  highest {high:7.3f}"
      )
    for name, bins in itertools.groupby(alarms[path], key=lambda a: a[0]):
      bins = list(bins)
      _, index, value, least, most = bins[0]
      print(
        f"  ALARM: {name}: {len(bins)} of {len(curves[name])} bins, the first "
        f"in minute {index * args.bin:g}: {value:.3f}, outside {least:.3f} to "
        f"{most:.3f}"
      )


if __name__ == "__main__":
  cli.run(main)
