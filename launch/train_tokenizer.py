"""Trains a frame tokenizer, or goes on where a run stopped.

example:
  python -m launch.train_tokenizer --config configs/tokenizer_demo.py \\
    --workdir runs/demo/tokenizer --config.run.steps=500

WORKDIR gets checkpoints/, config.json, metrics.jsonl, tensorboard/ and, at the
end, tokenizer/ for launch.tokenize. Ctrl-C or SIGTERM saves first; run the
same command to continue.
"""

import dataclasses

import numpy as np
from absl import flags

from data_pipelines.pictures import PictureBatches, PictureConfig
from data_pipelines.shards import open_dataset
from eartalk_jax.checkpoints.claim import Claim
from eartalk_jax.config import check_range, from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.scores import psnr
from eartalk_jax.outputs import check_folder
from eartalk_jax.processes.preflight import preflight
from eartalk_jax.tokenizers.autoencoder import TokenizerConfig
from eartalk_jax.tokenizers.coding import round_trip
from eartalk_jax.training.compilation import use_compile_cache
from eartalk_jax.training.run_config import FREE, RunConfig
from eartalk_jax.training.sharding import check_batch, local_rows, make_mesh
from eartalk_jax.training.tokenizer_training import (
  ObjectiveConfig,
  take,
  train_tokenizer,
)
from launch import configured

# Places and speeds: the fingerprint says whether the same pictures are there.
_FREE = (
  "data.frames",
  "data.held_out",
  "data.threads",
  "data.prefetch",
  *(f"run.{name}" for name in FREE),
)
# Held-out pictures of each clip that the final PSNR is taken over.
_PER_CLIP = 8


@dataclasses.dataclass(frozen=True)
class TokenizerTraining:
  """A whole config file.

  Attributes:
    model: of the autoencoder.
    objective: of the loss.
    data: what to read.
    run: of the training.
    statistics_pictures: training pictures that the normalisation is from.
  """

  model: TokenizerConfig
  objective: ObjectiveConfig
  data: PictureConfig
  run: RunConfig
  statistics_pictures: int

  def __post_init__(self):
    check_range(self, 1, 10**9, "statistics_pictures")


def train(config, workdir):
  """Trains to the end, writes the tokenizer and tells its held-out PSNR.

  Raises:
    UserError: something does not fit; the message says what.
  """
  use_compile_cache()
  config = from_config(TokenizerTraining, config)
  held_out = config.data.held_out
  check_folder(workdir, "--workdir", [config.data.frames, held_out or None])
  dataset = _open(config.data.frames, config.model.size)
  held_out = _open(held_out, config.model.size) if held_out else None
  size, seed = config.run.batch_size, config.run.seed
  whole = PictureBatches(dataset, config.data, size, seed)
  preflight(config, workdir, whole.fingerprint)
  mesh = make_mesh(config.run.mesh)
  check_batch(size, mesh, config.run.accumulate)
  rows = local_rows(size, mesh)

  def judge(tokenizer):
    print(f"{workdir}/tokenizer: {tokenizer.fingerprint[:12]}", flush=True)
    if held_out is not None:
      decibels = held_out_psnr(tokenizer, held_out)
      print(f"held-out PSNR: {decibels:.2f} dB ({held_out.directory})")

  train_tokenizer(
    config.model,
    config.objective,
    config.run,
    PictureBatches(dataset, config.data, size, seed, rows),
    take(whole, config.statistics_pictures),
    workdir,
    claim=Claim(to_dict(config), _FREE),
    mesh=mesh,
    judge=judge,
  )


def held_out_psnr(tokenizer, dataset):
  """Mean PSNR in dB over some pictures of every clip."""
  scores = []
  for index in range(len(dataset.source)):
    frames_TYX3 = dataset.source[index]["frames"]
    chosen = np.linspace(0, len(frames_TYX3) - 1, _PER_CLIP).astype(int)
    true_BYX3 = frames_TYX3[chosen]
    decoded_BYX3 = round_trip(tokenizer, true_BYX3[None])[0]
    pairs = zip(decoded_BYX3, true_BYX3, strict=True)
    scores += [psnr(decoded, true) for decoded, true in pairs]
  return float(np.mean(scores))


def _open(directory, size):
  """A frames dataset whose pictures have that size."""
  dataset = open_dataset(directory, "frames")
  if not len(dataset.source):
    raise UserError(f"{directory} has no clips; prepare some")
  found = dataset.source[0]["frames"].shape[1]
  if found != size:
    raise UserError(
      f"config: model.size is {size}, but {directory} has pictures of {found} "
      f"px; set it to {found} or prepare them with --size {size}"
    )
  return dataset


if __name__ == "__main__":
  flags.adopt_module_key_flags(configured)  # so that --help shows them
  configured.run(train)
