"""Measures a talker on held-out clips."""

import argparse
import pathlib

import numpy as np

from data_pipelines.shards import open_dataset, read_manifest
from eartalk_jax import files
from eartalk_jax.checkpoints.resumption import read_run
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import measuring as evaluation
from eartalk_jax.evaluation import plots
from eartalk_jax.evaluation.held_out import load_clips
from eartalk_jax.evaluation.held_out_videos import make_videos, strip_pictures
from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_store import probe_for
from eartalk_jax.generate import load_generator
from eartalk_jax.training.compilation import use_compile_cache
from launch import cli

_EPILOG = """example:
  python -m launch.evaluate --checkpoint runs/demo/talker \\
    --data runs/demo/frames/held_out --out runs/demo/evaluation

DIR gets metrics.json, arrays.npz, plots and probe/. Every clip is generated
from a portrait, its own speech and its own controls, with nothing given for
the mouth. A probe, trained on real frames, reads the mouth, pose and so on off
the generated pixels. Figures are means over clips of the correlation in each
clip; emotion is the share of frames that the probe recognises. NAME_ceiling is
the probe's score on real frames, NAME_copy_baseline that of a still portrait.
The first half of the clips is also driven by the speech of the second half
(lip_wrong_audio_...).
A figure is null where the clips have no truth for it.
"""


def _arguments(argv):
  parser = argparse.ArgumentParser(
    prog="python -m launch.evaluate",
    description=__doc__,
    epilog=_EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--checkpoint", required=True, help="work directory of launch.train")
  add("--data", required=True, help="frames dataset of held-out clips")
  add("--out", required=True, metavar="DIR")
  add(
    "--probe-data",
    metavar="DIR",
    help="frames dataset that the probe is trained on (default: the one that "
    "the talker was trained on)",
  )
  add(
    "--probe",
    metavar="DIR",
    help="where the trained probe is kept (default: probe/ in --out)",
  )
  add("--clips", type=int, default=40, help="at most so many (default 40)")
  add("--frames", type=int, default=100, help="of each, at most (default 100)")
  add("--seed", type=int, default=0, help="of noise and portraits (default 0)")
  args = parser.parse_args(argv)
  if args.clips < 2 or args.frames < 10:
    raise UserError("--clips must be at least 2 and --frames at least 10")
  return args


def evaluate(args, generator, held_out, training_frames):
  """Measures and writes everything to args.out; returns the metrics.

  Args:
    args: the command's arguments.
    generator: see `eartalk_jax.generate`.
    held_out: the frames dataset.
    training_frames: length of a training window.
  """
  _check_fit(generator, held_out)
  tracks = list(held_out.manifest["track_sizes"])
  clips = load_clips(
    held_out.source, tracks, args.clips, args.frames, args.seed
  )
  out = pathlib.Path(args.out)
  probe = None
  if any(clip.tracks for clip in clips):
    kept = pathlib.Path(args.probe or out / "probe")
    probe = _probe(args, kept, generator.size, held_out)
  else:
    print(
      f"{args.data} has no truth: nothing can be said about lips, pose or "
      "emotion; pictures alone are measured",
      flush=True,
    )
  videos = make_videos(generator, clips, args.seed, training_frames)
  metrics, arrays = evaluation.measure(clips, videos, probe)
  out.mkdir(parents=True, exist_ok=True)
  strips = strip_pictures(clips, videos)
  with (
    files.replacing(out / "arrays.npz") as temporary,
    open(temporary, "wb") as file,
  ):
    np.savez_compressed(file, **arrays, **strips)
  plots.draw_all(out, metrics, arrays | strips)
  # Last: it says that everything else is there.
  files.write_json(out / "metrics.json", metrics)
  return metrics


def _check_fit(generator, held_out):
  config = held_out.manifest["config"]
  for name, ours in (
    ("size", generator.size),
    ("mel_bins", generator.mel_bins),
  ):
    if config[name] != ours:
      raise UserError(
        f"{held_out.directory} was prepared with {name} {config[name]}, but "
        f"the checkpoint needs {ours}; run python -m launch.prepare with "
        f"--{name.replace('_', '-')} {ours}"
      )


def _probe(args, directory, size, held_out):
  """The probe, trained on --probe-data or on what the talker was trained on."""
  dataset = open_dataset(_probe_data(args), "frames")
  for key, value in held_out.manifest["categories"].items():
    if dataset.manifest["categories"].get(key, value) != value:
      raise UserError(
        f"categories of {key} differ between {args.data} and "
        f"{dataset.directory}; prepare both from files of one kind"
      )
  config = probe_config(dataset.manifest, size)
  print(f"probe: trained on {dataset.directory}", flush=True)
  return probe_for(directory, dataset.fingerprint, dataset.source, config)


def _probe_data(args):
  if args.probe_data:
    return args.probe_data
  try:
    tokens = read_run(args.checkpoint)["data"]["tokens"]
    directory = read_manifest(tokens, "tokens")["source_dir"]
  except (UserError, KeyError) as error:
    raise UserError(
      f"the data that {args.checkpoint} was trained on is not to be found "
      f"({error}); name a frames dataset with truth by --probe-data"
    ) from None
  if not pathlib.Path(directory).is_dir():
    raise UserError(
      f"the training frames {directory} are gone; name a frames dataset with "
      "truth by --probe-data"
    )
  return directory


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  use_compile_cache()
  generator = load_generator(args.checkpoint)
  held_out = open_dataset(args.data, "frames")
  training_frames = read_run(args.checkpoint)["data"]["frames"]
  metrics = evaluate(args, generator, held_out, training_frames)
  for name in ("tokenizer_psnr_db", "lip", "yaw", "pitch", "blink", "emotion"):
    if metrics.get(name) is not None:
      print(f"{name}: {metrics[name]:.3f}")
  print(f"everything is in {args.out}")


if __name__ == "__main__":
  cli.run(main)
