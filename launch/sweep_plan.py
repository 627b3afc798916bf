"""Plans a sweep: the part of launch.sweep that reads a config file."""

import dataclasses
import json
import pathlib

from absl import flags

from data_pipelines.shards import open_dataset
from eartalk_jax.config import from_config, nearest, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.scaling.cells import Machine
from eartalk_jax.scaling.ladder import Ladder
from eartalk_jax.scaling.law import Law
from eartalk_jax.scaling.plan import plan
from eartalk_jax.scaling.sweep_files import (
  Sweep,
  SweepConfig,
  write_plan,
)
from eartalk_jax.scaling.sweep_table import plan_table
from eartalk_jax.telemetry.hardware import chip_named, chip_names
from eartalk_jax.tokenizer import load_tokenizer
from launch.out_flag import OUT
from launch.train import TrainConfig, check_tokens

_BUDGETS = flags.DEFINE_list(
  "budgets", None, "FLOPs of a cell, such as 1e15,3e15,1e16,3e16."
)
_CHECK = flags.DEFINE_list(
  "check", [], "FLOPs of larger runs that are kept from the fit, to test it."
)
_LAW = flags.DEFINE_string(
  "law",
  None,
  "fit.json of an earlier launch.fit, which says where the optima are "
  "expected; without it, sweep.ladder.frames_per_param does.",
)
_DEVICE = flags.DEFINE_string(
  "device",
  "h100",
  f"What the hours are for: {', '.join(chip_names())}, or another name with "
  "--peak.",
)
_DEVICES = flags.DEFINE_integer(
  "devices", 1, "How many of them a cell has.", lower_bound=1
)
_PEAK = flags.DEFINE_float(
  "peak", None, "FLOP/s of a device that is not known.", lower_bound=1.0
)
_MFU = flags.DEFINE_float(
  "mfu", 0.4, "Share of the peak that is assumed.", lower_bound=0.0
)


def main(config, workdir):
  """The command."""
  del workdir  # --out says where
  for flag in (_BUDGETS, OUT):
    if not flag.value:
      raise UserError(f"--{flag.name} is needed; see --help")
  sweep = make_sweep(
    config,
    pathlib.Path(OUT.value),
    budgets=[_flops(text) for text in _BUDGETS.value],
    checks=[_flops(text) for text in _CHECK.value],
    machine=_machine(),
    law=_law(_LAW.value) if _LAW.value else None,
  )
  write_plan(sweep)
  print(plan_table(sweep))
  print(f"\n{OUT.value}/sweep.json has it all; next:")
  print(f"  python -m launch.sweep run {OUT.value}")


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
  fingerprints, frames = _data(train, settings)
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
  found, _ = _data(train, sweep.settings)
  for name, planned in sweep.fingerprints.items():
    if found[name] != planned:
      raise UserError(
        f"{sweep.directory}: the sweep was planned for other data: the "
        f"fingerprint of {name} was {planned[:16]} and is now "
        f"{found[name][:16]}; put the old data back, or plan a new sweep"
      )


def _data(train, settings):
  """(fingerprints of what numbers depend on, latent frames of training)."""
  tokenizer = load_tokenizer(train.tokenizer)
  tokens = open_dataset(train.data.tokens, "tokens")
  held_out = open_dataset(settings.held_out, "tokens")
  for dataset in (tokens, held_out):
    check_tokens(train, tokenizer, dataset)
  if held_out.fingerprint == tokens.fingerprint:
    raise UserError(
      f"{settings.held_out} is what the sweep trains on; sweep.held_out must "
      "be other clips"
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
  return fingerprints, tokens.manifest["frames"]


def _flops(text):
  try:
    return float(text)
  except ValueError:
    raise UserError(
      f"{text!r} is no number of FLOPs; write 1e15,3e15"
    ) from None


def _law(path):
  try:
    fit = json.loads(pathlib.Path(path).read_text())
    names = [field.name for field in dataclasses.fields(Law)]
    return Law(**{name: float(fit[name]) for name in names})
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"--law {path} is no fit.json of launch.fit ({error!r})"
    ) from None


def _machine():
  name, peak = _DEVICE.value, _PEAK.value
  chip = chip_named(name)
  if chip is None and peak is None:
    raise UserError(
      f"--device {name}: its peak is not known; give --peak FLOP/s, or one "
      f"that is; {nearest(name, chip_names())}"
    )
  if _MFU.value <= 0:
    raise UserError("--mfu must be more than 0")
  return Machine(
    name,
    _DEVICES.value,
    chip.peak_flops if peak is None else peak,
    _MFU.value,
    chip and chip.hbm_bytes,
  )
