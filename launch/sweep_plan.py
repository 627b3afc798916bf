"""Plans a sweep: the part of launch.sweep that reads a config file."""

import dataclasses
import pathlib
import sys

from absl import flags

from data_pipelines.shards import open_dataset
from eartalk_jax.config import from_config, nearest, to_dict
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
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
  "devices",
  1,
  "How many of them a cell has.",
  lower_bound=1,
  upper_bound=10**7,
)
_PEAK = flags.DEFINE_float(
  "peak", None, "FLOP/s of a device that is not known."
)
_MFU = flags.DEFINE_float("mfu", 0.4, "Share of the peak that is assumed.")
_MOST_PEAK = 1e18  # of one device


def main(config, workdir):
  """The command."""
  del workdir  # --out says where
  for flag in (_BUDGETS, OUT):
    if not flag.value:
      raise UserError(f"--{flag.name} is needed; see --help")
  check_folder(OUT.value, reads=[_LAW.value])
  sweep = make_sweep(
    config,
    pathlib.Path(OUT.value),
    budgets=[_flops(text) for text in _BUDGETS.value],
    checks=[_flops(text) for text in _CHECK.value],
    machine=_machine(),
    law=_law(_LAW.value) if _LAW.value else None,
  )
  with alone_in(OUT.value):
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
    now = found.get(name, "nothing")
    if now != planned:
      raise UserError(
        f"{sweep.directory}: the sweep was planned for other data: the "
        f"fingerprint of {name} was {planned[:16]} and is now "
        f"{now[:16]}; put the old data back, or plan a new sweep"
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
  fit = read_json(path, "give a fit.json of launch.fit")
  names = [field.name for field in dataclasses.fields(Law)]
  for name in names:
    value = fit.get(name) if isinstance(fit, dict) else None
    least = 0.0 if name == "E" else sys.float_info.min
    if type(value) not in (int, float) or value < least:
      raise UserError(
        f"--law {path}: {name} is {value!r}, not a positive number; give a "
        "fit.json of launch.fit"
      )
  return Law(**{name: float(fit[name]) for name in names})


def _machine():
  name, peak = _DEVICE.value, _PEAK.value
  if peak is not None and not 1 <= peak <= _MOST_PEAK:
    raise UserError(f"--peak {peak:g}: give 1 to {_MOST_PEAK:g} FLOP/s")
  if not 1e-6 <= _MFU.value <= 1:
    raise UserError(f"--mfu {_MFU.value:g}: give a share, such as 0.4")
  chip = chip_named(name)
  if chip is None and peak is None:
    raise UserError(
      f"--device {name}: its peak is not known; give --peak FLOP/s, or one "
      f"that is; {nearest(name, chip_names())}"
    )
  return Machine(
    name,
    _DEVICES.value,
    chip.peak_flops if peak is None else peak,
    _MFU.value,
    chip and chip.hbm_bytes,
  )
