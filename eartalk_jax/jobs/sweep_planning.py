"""Which cells a sweep has, and of which data."""

from data_pipelines.batches import made_latents
from data_pipelines.shards import open_dataset
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.jobs.talker import open_split
from eartalk_jax.scaling.ladder import Ladder
from eartalk_jax.scaling.plan import plan
from eartalk_jax.scaling.sweep_files import Sweep, SweepConfig
from eartalk_jax.training.train_config import TrainConfig


def make_sweep(config, out, budgets, checks, machine, law=None):
  """The Sweep of a config that has a part `sweep`.

  Raises:
    UserError: parts do not belong together, or a budget cannot be planned.
  """
  config = to_dict(config)
  if "sweep" not in config:
    raise UserError(
      "the config has no part `sweep`; start from configs/scaling.py"
    )
  settings = from_config(SweepConfig, config.pop("sweep"), "sweep")
  train = from_config(TrainConfig, config)
  train, fingerprints, frames = _data(train, settings)
  cells = plan(
    train,
    Ladder(train.model, settings.ladder),
    settings.ladder,
    budgets,
    checks,
    machine,
    frames,
    law,
  )
  return Sweep(
    out, to_dict(train), settings, tuple(cells), fingerprints, vars(machine)
  )


def check_data(sweep):
  """Raises UserError unless the data are those that were planned for."""
  train = from_config(TrainConfig, sweep.config)
  _, found, _ = _data(train, sweep.settings)
  for name, planned in sweep.fingerprints.items():
    now = found.get(name, "nothing")
    if now != planned:
      raise UserError(
        f"{sweep.directory}: the sweep was planned for other data: the "
        f"fingerprint of {name} was {planned[:16]} and is now "
        f"{now[:16]}; put the old data back, or plan a new sweep"
      )


def _data(train, settings):
  """What is planned for.

  Returns:
    (the TrainConfig, with the speech of the tokens; fingerprints of what
    numbers depend on; latent frames of training)
  """
  train, tokenizer, tokens, held_out = open_split(
    train, settings.held_out, "sweep.held_out"
  )
  fingerprints = {
    "tokens": tokens.fingerprint,
    "held_out": held_out.fingerprint,
    "tokenizer": tokenizer.fingerprint,
  }
  if settings.clips:
    for name in ("frames", "probe_frames"):
      dataset = open_dataset(getattr(settings, name), "frames")
      fingerprints[name] = dataset.fingerprint
  latents = sum(made_latents(tokens, train.model.stride))
  return train, fingerprints, latents
