"""Writes the report of a run: one HTML file with all of it."""

import importlib.metadata
import os
import pathlib
import platform

from eartalk_jax import files
from eartalk_jax.documents import read_json, read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.report import Run, build_report
from eartalk_jax.evaluation.targets import read_figures
from eartalk_jax.outputs import check_file
from eartalk_jax.telemetry.metrics import read_metrics
from launch import cli
from launch.arguments import Parser

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "av", "numpy")

_EPILOG = """example:
  python -m launch.report --checkpoint runs/demo/talker \\
    --evaluation runs/demo/evaluation --tokenizer runs/demo/tokenizer \\
    --video runs/demo/sample.mp4 --out runs/demo/report.html
"""


def _arguments(argv):
  parser = Parser("report", __doc__, _EPILOG)
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
  metrics = read_figures(evaluation / "metrics.json")
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
    stages=_read_stages(args.stages) if args.stages else [],
    machine=machine(),
    configs={
      name: read_shaped(
        pathlib.Path(path) / "config.json", dict, "its training writes it"
      )
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


def _read_stages(path):
  """What `launch.demo` wrote of its stages."""
  stages = read_json(path, "launch.demo writes it")
  kinds = {"title": str, "seconds": (int, float), "command": str}
  for stage in stages if isinstance(stages, list) else [None]:
    if not isinstance(stage, dict) or not all(
      isinstance(stage.get(key), kind) for key, kind in kinds.items()
    ):
      raise UserError(f"{path} holds no stages; launch.demo writes it")
  return stages


def _read_video(path):
  if not path:
    return None
  if not pathlib.Path(path).is_file():
    raise UserError(f"--video {path}: there is no such file")
  data = pathlib.Path(path).read_bytes()
  if data[4:8] != b"ftyp":
    raise UserError(f"--video {path}: no mp4 file; launch.sample writes one")
  return data


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  check_file(args.out, reads=_reads(args))
  files.write_text(args.out, build_report(gather(args)))
  print(f"report: {args.out}")


def _reads(args):
  """The files that a report is made from."""
  names = ("metrics.json", "strips.png", "mouths.png", "drift.png")
  reads = [pathlib.Path(args.evaluation) / name for name in names]
  for workdir in filter(None, (args.checkpoint, args.tokenizer)):
    for name in ("config.json", "metrics.jsonl"):
      reads.append(pathlib.Path(workdir) / name)
  return [*reads, args.video, args.stages]


if __name__ == "__main__":
  cli.run(main)
