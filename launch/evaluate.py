"""Measures a talker on held-out clips."""

import pathlib

import numpy as np

from data_pipelines.shards import open_dataset, read_manifest
from eartalk_jax import files
from eartalk_jax.checkpoints.resumption import read_run
from eartalk_jax.documents import without_nan
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import measuring as evaluation
from eartalk_jax.evaluation import plots
from eartalk_jax.evaluation.figures import chosen
from eartalk_jax.evaluation.held_out import check_fit, load_clips
from eartalk_jax.evaluation.held_out_videos import make_videos, strip_pictures
from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_store import probe_for
from eartalk_jax.generate import load_generator
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from eartalk_jax.training.compilation import use_compile_cache
from launch import cli
from launch.arguments import Parser, integer

_TOLD = chosen("tokenizer_psnr_db", "lip", "yaw", "pitch", "blink", "emotion")
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
A figure is null where the clips have no truth for it: see not_measured.
"""


def _arguments(argv):
  parser = Parser("evaluate", __doc__, _EPILOG)
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
  clips, frames, seed = integer(2, 10**6), integer(10, 10**6), integer(0, 2**31)
  add("--clips", type=clips, default=40, help="at most so many (default 40)")
  add("--frames", type=frames, default=100, help="of each, at most (100)")
  add("--seed", type=seed, default=0, help="of noise and portraits (default 0)")
  return parser.parse_args(argv)


def evaluate(args, generator, held_out, training_frames):
  """Measures and writes everything to args.out; returns the metrics.

  Args:
    args: the command's arguments.
    generator: see `eartalk_jax.generate`.
    held_out: the frames dataset.
    training_frames: length of a training window.
  """
  check_fit(generator, held_out)
  tracks = list(held_out.manifest["track_sizes"])
  clips = load_clips(
    held_out.source,
    generator.speech,
    tracks,
    args.clips,
    args.frames,
    args.seed,
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
  strips = strip_pictures(clips, videos)
  with (
    files.replacing(out / "arrays.npz") as temporary,
    open(temporary, "wb") as file,
  ):
    np.savez_compressed(file, **arrays, **strips)
  plots.draw_all(out, metrics, arrays | strips)
  # Last: it says that everything else is there.
  metrics = without_nan(metrics)
  files.write_json(out / "metrics.json", metrics)
  return metrics


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
    there = pathlib.Path(directory).is_dir()
  except (UserError, LookupError, TypeError) as error:
    raise UserError(
      f"the data that {args.checkpoint} was trained on is not to be found "
      f"({error}); name a frames dataset with truth by --probe-data"
    ) from None
  if not there:
    raise UserError(
      f"the training frames {directory} are gone; name a frames dataset with "
      "truth by --probe-data"
    )
  return directory


def _window(checkpoint):
  """Frames of a training window of a run."""
  data = read_run(checkpoint).get("data")
  frames = data.get("frames") if isinstance(data, dict) else None
  if type(frames) is not int or not 0 < frames <= 10**6:
    raise UserError(
      f"{checkpoint}/config.json is damaged: its data.frames is {frames!r}; "
      "copy it again"
    )
  return frames


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  reads = [args.checkpoint, args.data, args.probe_data]
  check_folder(args.out, reads=reads)
  if args.probe is not None:
    check_folder(args.probe, "--probe", reads)
  with alone_in(args.out):
    use_compile_cache()
    generator = load_generator(args.checkpoint)
    held_out = open_dataset(args.data, "frames")
    metrics = evaluate(args, generator, held_out, _window(args.checkpoint))
  for name, figure in _TOLD.items():
    if metrics.get(name) is not None:
      print(f"{name}: {figure.text(metrics[name])}")
  print(f"everything is in {args.out}")


if __name__ == "__main__":
  cli.run(main)
