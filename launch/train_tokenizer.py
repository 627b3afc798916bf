"""Trains a frame tokenizer and writes WORKDIR/tokenizer.

  python -m launch.train_tokenizer --config configs/tokenizer_demo.py \
    --workdir runs/demo/tokenizer --config.run.steps=500

Run again after an interruption, the command goes on where it was.
"""

import dataclasses

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags

from data_pipelines.pictures import PictureBatches, PictureConfig
from data_pipelines.shards import open_dataset
from eartalk_jax.checkpoint import claim_workdir
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.models.autoencoder import TokenizerConfig
from eartalk_jax.scores import psnr
from eartalk_jax.tokenizer_training import ObjectiveConfig, train_tokenizer
from eartalk_jax.training import FREE, RunConfig
from launch import cli

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
flags.mark_flags_as_required(["config", "workdir"])

# Held-out pictures of each clip that the final PSNR is taken over.
_PER_CLIP = 8


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything configs/tokenizer*.py may say."""

  model: TokenizerConfig
  objective: ObjectiveConfig
  data: PictureConfig
  run: RunConfig
  statistics_pictures: int


def main(argv):
  """Trains from the command line."""
  del argv
  logging.set_verbosity(logging.WARNING)
  settings = from_config(Settings, _CONFIG.value)
  data, run = settings.data, settings.run
  dataset = open_dataset(data.frames, "frames")
  held_out = open_dataset(data.held_out, "frames") if data.held_out else None
  batches = PictureBatches(
    dataset,
    data,
    run.batch_size,
    run.seed,
    jax.process_index(),
    jax.process_count(),
  )
  free = [f"run.{name}" for name in FREE]
  free += ["data.held_out", "data.threads", "data.prefetch"]
  claim_workdir(_WORKDIR.value, to_dict(settings), free)
  tokenizer = train_tokenizer(
    settings.model,
    settings.objective,
    run,
    batches,
    settings.statistics_pictures,
    _WORKDIR.value,
  )
  if tokenizer is None:
    return
  print(f"{_WORKDIR.value}/tokenizer: {tokenizer.fingerprint[:12]}")
  if held_out is not None:
    decibels = held_out_psnr(tokenizer, held_out)
    print(f"held-out PSNR: {decibels:.2f} dB ({data.held_out})")


def held_out_psnr(tokenizer, dataset):
  """Mean PSNR in dB over some pictures of every clip."""
  scores = []
  for index in range(len(dataset.source)):
    frames_TYX3 = dataset.source[index]["frames"]
    chosen = np.linspace(0, len(frames_TYX3) - 1, _PER_CLIP).astype(int)
    true_BYX3 = frames_TYX3[chosen]
    decoded_BYX3 = tokenizer.decode(tokenizer.encode(true_BYX3[None]))[0]
    pairs = zip(decoded_BYX3, true_BYX3, strict=True)
    scores += [psnr(decoded, true) for decoded, true in pairs]
  return float(np.mean(scores))


if __name__ == "__main__":
  cli.run(lambda: app.run(main))
