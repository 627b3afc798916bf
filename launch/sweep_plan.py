"""Plans a sweep: the part of launch.sweep that reads a config file."""

import dataclasses
import pathlib
import sys

from absl import flags

from eartalk_jax.config import nearest
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.jobs.sweep_planning import make_sweep
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from eartalk_jax.scaling.cells import Machine
from eartalk_jax.scaling.law import Law
from eartalk_jax.scaling.sweep_files import write_plan
from eartalk_jax.scaling.sweep_table import plan_table
from eartalk_jax.telemetry.hardware import chip_named, chip_names
from launch.out_flag import OUT

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


def _reads(sweep):
  """The folders that its cells read, and this command."""
  config, settings = sweep.config, sweep.settings
  yield from (config["tokenizer"], config["data"]["tokens"], _LAW.value)
  yield from (settings.held_out, settings.frames, settings.probe_frames)


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
  check_folder(OUT.value, reads=_reads(sweep))
  with alone_in(OUT.value):
    write_plan(sweep)
  print(plan_table(sweep))
  print(f"\n{OUT.value}/sweep.json has it all; next:")
  print(f"  python -m launch.sweep run {OUT.value}")


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
