"""Trains and measures cells of a sweep, one after another, in this process."""

import contextlib
import math
import os
import time

import jax

from data_pipelines.batches import TalkerBatches
from data_pipelines.shards import open_dataset
from eartalk_jax import files, recipes
from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  committed_steps,
)
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import measuring
from eartalk_jax.evaluation.figures import chosen
from eartalk_jax.evaluation.held_out import load_clips
from eartalk_jax.evaluation.held_out_videos import make_videos
from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_store import probe_for
from eartalk_jax.generate import load_generator
from eartalk_jax.jobs.talker import train
from eartalk_jax.locks import lock
from eartalk_jax.scaling import fixed_loss
from eartalk_jax.scaling.cells import cell_config, trunk_config
from eartalk_jax.scaling.sweep_files import read_plan
from eartalk_jax.telemetry.progress import working
from eartalk_jax.training.skips import Diverged
from eartalk_jax.training.train_config import TrainConfig

_LOOK_EVERY_S = 1.0
# What of an evaluation a sweep keeps.
_KEPT = chosen(
  "lip",
  "lip_wrong_audio_driving",
  "yaw",
  "blink",
  "emotion_changed",
  "own_portrait_nearest",
  "psnr_db",
  "motion_ratio",
)


class CellRunner:
  """Runs cells; what they are measured on is made once."""

  def __init__(self, sweep):
    """Makes the fixed set of a Sweep."""
    self._sweep = sweep
    config = from_config(TrainConfig, sweep.config)
    settings = sweep.settings
    held_out = open_dataset(settings.held_out, "tokens")
    self._fixed = fixed_set(
      held_out, config.data, config.model, settings.windows, settings.draws
    )
    self._clips = self._probe = None

  def run(self, cell):
    """Trains a cell, measures it and writes its result.json, if need be."""
    if self._sweep.result(cell) is not None:
      return
    began = time.monotonic()
    self._sweep.folder(cell).mkdir(parents=True, exist_ok=True)
    try:
      trained = self._train(cell)
      result = self._measure(cell, trained)
    except Diverged as error:
      result = {"diverged": str(error), "fixed_set": None, "samples": None}
    result |= {
      "name": cell.name,
      "params": cell.params,
      "frames": cell.frames,
      "tokens": cell.tokens,
      "epochs": cell.epochs,
      "flops": cell.flops,
      "seconds": time.monotonic() - began,
      "device": jax.devices()[0].device_kind,
    }
    files.write_json(self._sweep.folder(cell) / "result.json", result)

  def _train(self, cell):
    """Trains the trunk as far as need be, then the cell's own cool-down."""
    workdir = self._sweep.folder(cell) / "run"
    config = cell_config(self._sweep.config, cell)
    if not committed_steps(checkpoints_of(workdir)):
      trunk = self._grow_trunk(cell)
      start = f"{trunk.absolute()}@{cell.branch}"
      config["run"] = config["run"] | {"start_from": start}
    train(config, workdir)
    return workdir

  def _grow_trunk(self, cell):
    """Trains a trunk on to where the cell leaves it; stops where others do."""
    trunk = self._sweep.trunk(cell)
    trunk.mkdir(parents=True, exist_ok=True)
    with _holding(trunk):
      for mate in self._sweep.size_mates(cell):
        done = committed_steps(checkpoints_of(trunk))
        if mate.branch <= cell.branch and mate.branch not in done:
          train(trunk_config(self._sweep.config, mate), trunk)
    return trunk

  def _measure(self, cell, workdir):
    config = from_config(TrainConfig, cell_config(self._sweep.config, cell))
    recipe, model = recipes.of(config.recipe.kind), config.model
    init = recipe.init_params(recipe.model(model))
    shapes = jax.eval_shape(init, jax.random.key(0))
    _, params = load_ema(workdir, shapes)
    with working("the loss on the fixed set"):
      result = fixed_loss.evaluate(recipe, model, params, self._fixed)
    result |= {"fixed_set": self._fixed.fingerprint, "samples": None}
    result["diverged"] = _verdict(result)
    if result["diverged"] is not None:
      result["loss"] = result["loss"] if math.isfinite(result["loss"]) else None
    elif self._sweep.settings.clips:
      result["samples"] = self._samples(workdir)
    return result

  def _samples(self, workdir):
    """Figures of a few clips that the model makes."""
    settings = self._sweep.settings
    generator = load_generator(workdir)
    if self._clips is None:
      frames = open_dataset(settings.frames, "frames")
      self._clips = load_clips(
        frames.source,
        generator.speech,
        list(frames.manifest["track_sizes"]),
        settings.clips,
        settings.clip_frames,
        seed=0,
      )
      self._probe = shared_probe(self._sweep)
    videos = make_videos(
      generator,
      self._clips,
      seed=0,
      training_frames=self._sweep.config["data"]["frames"],
      long_streams=0,
    )
    metrics, _ = measuring.measure(self._clips, videos, self._probe)
    return {name: metrics.get(name) for name in _KEPT}


def fixed_set(held_out, data, model, windows, draws):
  """The `fixed_loss.FixedSet` of a token dataset; its clips one after another.

  Raises:
    UserError: the dataset does not fit the config.
  """

  def batches(model, rows, seed):
    return TalkerBatches(held_out, data, model, rows, seed).iterate(0)

  return fixed_loss.make_fixed_set(batches, data.frames, model, windows, draws)


def _verdict(result):
  """Why a loss counts as that of a run that diverged; None if it does not."""
  loss, portrait = result["loss"], result["portrait"]
  if not math.isfinite(loss):
    return "the loss on the fixed set is not finite"
  if loss > portrait:
    return (
      f"the loss on the fixed set is {loss:.4g}, above the {portrait:.4g} of "
      "who only ever says the portrait"
    )
  return None


def shared_probe(sweep):
  """The probe that all cells are looked at with; trained once."""
  dataset = open_dataset(sweep.settings.probe_frames, "frames")
  config = probe_config(dataset.manifest, dataset.manifest["config"]["size"])
  folder = sweep.directory / "probe"
  folder.mkdir(exist_ok=True)
  with _holding(folder):
    return probe_for(folder, dataset.fingerprint, dataset.source, config)


@contextlib.contextmanager
def _holding(directory):
  """Keeps other processes out; waits until they have left."""
  held = lock(directory)
  if held is None:
    with working(f"waiting for another process in {directory}"):
      while held is None:
        time.sleep(_LOOK_EVERY_S)
        held = lock(directory)
  try:
    yield
  finally:
    if held is not None:
      os.close(held)


def run_cells(directory, numbers):
  """Runs those cells, by number."""
  sweep = read_plan(directory)
  for number in numbers:
    if not 0 <= number < len(sweep.cells):
      raise UserError(
        f"there is no cell {number}: the sweep has cells 0 to "
        f"{len(sweep.cells) - 1}"
      )
  runner = CellRunner(sweep)
  for number in numbers:
    cell = sweep.cells[number]
    print(f"cell {number}: {cell.name}", flush=True)
    runner.run(cell)
