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
from eartalk_jax.spans import first_made, frames_of
from eartalk_jax.tokenizers.coding import round_trip
from eartalk_jax.tokenizers.trainable import Model, trainable
from eartalk_jax.training.compilation import use_compile_cache
from eartalk_jax.training.run_config import FREE, RunConfig
from eartalk_jax.training.sharding import check_batch, local_rows, make_mesh
from eartalk_jax.training.tokenizer_training import (
  ObjectiveConfig,
  take,
  train_tokenizer,
)
from launch import configured

# Places and speeds, and what runs before it did not have: the fingerprint says
# whether it is the same network and the same pictures.
_FREE = (
  "model.kind",
  "data.length",
  "data.crop",
  "data.frames",
  "data.held_out",
  "data.threads",
  "data.prefetch",
  *(f"run.{name}" for name in FREE),
)
# Held-out latents of each clip that the final PSNR is taken over.
_PER_CLIP = 8


@dataclasses.dataclass(frozen=True)
class TokenizerTraining:
  """A whole config file.

  Attributes:
    model: of the network; its kind is "patches" unless it says another.
    objective: of the loss.
    data: what to read.
    run: of the training.
    statistics_pictures: training pictures that the normalisation is from.
  """

  model: Model
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
  config = from_config(TokenizerTraining, _with_kind(config))
  network = trainable(config.model)
  _check_pieces(config, network)
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
    network,
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
  """Mean PSNR in dB over some frames of every clip.

  Where a latent is several frames, those of the first latents after the
  portrait, which comes back as it went.
  """
  scores = []
  for index in range(len(dataset.source)):
    frames_TYX3 = dataset.source[index]["frames"]
    first = first_made(tokenizer.stride)
    if first:
      stop = frames_of(_PER_CLIP, tokenizer.stride).stop
      true_TYX3 = frames_TYX3[:stop]
    else:
      chosen = np.linspace(0, len(frames_TYX3) - 1, _PER_CLIP).astype(int)
      true_TYX3 = frames_TYX3[chosen]
    decoded_TYX3 = round_trip(tokenizer, true_TYX3[None])[0]
    pairs = zip(decoded_TYX3[first:], true_TYX3[first:], strict=True)
    scores += [psnr(decoded, true) for decoded, true in pairs]
  return float(np.mean(scores))


def _with_kind(config):
  """The same; files that are older than the kinds mean the first of them."""
  config = to_dict(config)
  model = config.get("model")
  if isinstance(model, dict):
    config["model"] = {"kind": "patches", **model}
  return config


def _check_pieces(config, network):
  """Raises UserError if a network cannot learn from such pieces of clips."""
  length, crop, stride = config.data.length, config.data.crop, network.stride
  if (length - 1) % stride or length == 1 < stride:
    raise UserError(
      f"config: data.length is {length}, but a latent of the kind "
      f"{network.kind!r} is {stride} frames, after a first one; give "
      f"{1 + stride}, {1 + 2 * stride} or more in such steps"
    )
  if not crop:
    return
  if not network.crops:
    raise UserError(
      f"config: data.crop is {crop}, but the kind {network.kind!r} learns "
      "whole pictures; set it to 0"
    )
  try:
    dataclasses.replace(network.config, size=crop)
  except ValueError as error:
    raise UserError(f"config: data.crop: {error}") from None


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
