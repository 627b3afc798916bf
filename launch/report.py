"""Writes the report of a run: one HTML file with everything in it."""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform

from eartalk_jax import files
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.report import Run, build_report
from eartalk_jax.telemetry.metrics import read_metrics
from launch import cli

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "av", "numpy")

_EPILOG = """example:
  python -m launch.report --checkpoint runs/demo/talker \\
    --evaluation runs/demo/evaluation --tokenizer runs/demo/tokenizer \\
    --video runs/demo/sample.mp4 --out runs/demo/report.html
"""


def _arguments(argv):
  parser = argparse.ArgumentParser(
    prog="python -m launch.report",
    description=__doc__,
    epilog=_EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--checkpoint", required=True, help="work directory of launch.train")
  add("--evaluation", required=True, help="DIR of launch.evaluate")
  add("--out", required=True, help="the HTML file to write")
  add("--tokenizer", help="work directory of launch.train_tokenizer")
  add("--video", help="an mp4 file to show")
  add("--video-caption", default="", help="what is to be seen in it")
  add("--stages", help="JSON file with the stages that ran, see launch.demo")
  add("--title", default="EARTalking in JAX", help="the headline")
  return parser.parse_args(argv)


def gather(args):
  """Reads everything that the report shows.

  Raises:
    UserError: the evaluation is not there.
  """
  evaluation = pathlib.Path(args.evaluation)
  workdirs = {"tokenizer": args.tokenizer, "talker": args.checkpoint}
  workdirs = {name: path for name, path in workdirs.items() if path}
  metrics = _read_json(evaluation / "metrics.json", "launch.evaluate")
  images = {
    name: path.read_bytes()
    for name in ("strips", "mouths", "drift")
    if (path := evaluation / f"{name}.png").is_file()
  }
  places = {
    "all figures": evaluation / "metrics.json",
    "the numbers behind the plots": evaluation / "arrays.npz",
    "the trained talker": args.checkpoint,
  }
  if args.video:
    places["the video"] = args.video
  for name, path in workdirs.items():
    places[f"TensorBoard of the {name}"] = pathlib.Path(path) / "tensorboard"
  return Run(
    title=args.title,
    metrics=metrics,
    images=images,
    video=_read_video(args.video),
    video_caption=args.video_caption,
    curves={name: read_metrics(path) for name, path in workdirs.items()},
    stages=_read_json(args.stages, "launch.demo") if args.stages else [],
    machine=machine(),
    configs={
      name: _read_json(pathlib.Path(path) / "config.json", "its training")
      for name, path in workdirs.items()
    },
    places=places,
  )


def machine():
  """What this machine is, and the versions of what runs on it."""
  import jax

  devices = jax.devices()
  memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
  found = {
    "system": f"{platform.system()} {platform.machine()}",
    "CPU cores": str(len(os.sched_getaffinity(0))),
    "memory": f"{memory:.0f} GB",
    "devices": f"{len(devices)} x {devices[0].device_kind}",
    "Python": platform.python_version(),
  }
  versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
  return found | versions


def _read_json(path, maker):
  try:
    return json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}); {maker} writes it"
    ) from None


def _read_video(path):
  if not path:
    return None
  try:
    return pathlib.Path(path).read_bytes()
  except OSError as error:
    raise UserError(f"--video {path}: {error.strerror}") from error


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  out = pathlib.Path(args.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(out, build_report(gather(args)))
  print(f"report: {out}")


if __name__ == "__main__":
  cli.run(main)
