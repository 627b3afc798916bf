"""What a sweep's folder holds.

DIR/sweep.json                plan, configuration, fingerprints of the data
DIR/trunks/SIZE/              the shared part of a size's runs
DIR/cells/NAME/run/           a work directory of launch.train
DIR/cells/NAME/result.json    what came of the cell; written last
DIR/points.csv                a line for each finished cell of the fit
DIR/checks.csv                the same of the runs that are kept from it
"""

import csv
import dataclasses
import io
import json
import pathlib

from eartalk_jax import files
from eartalk_jax.config import (
  check_range,
  describe,
  differences,
  from_config,
  to_dict,
)
from eartalk_jax.errors import UserError
from eartalk_jax.scaling.cells import Cell, Machine
from eartalk_jax.scaling.ladder import LadderConfig
from eartalk_jax.scaling.sweep_reading import read_plan_file, read_result

COLUMNS = ("params", "tokens", "loss", "flops", "group", "diverged")
# Raise it when a plan of the same config begins to mean other runs.
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class SweepConfig:
  """The part of a config that only `launch.sweep` reads.

  Attributes:
    held_out: token dataset that every cell's loss is measured on.
    windows, draws: size of the fixed set, see `fixed_loss`.
    frames: frames dataset of held-out clips, to look at samples.
    probe_frames: frames dataset that the probe learns from.
    clips, clip_frames: how much is sampled; no clips for no samples.
    ladder: the rule of the sizes.
  """

  held_out: str
  windows: int
  draws: int
  frames: str
  probe_frames: str
  clips: int
  clip_frames: int
  ladder: LadderConfig

  def __post_init__(self):
    check_range(self, 2, 10**9, "windows")
    check_range(self, 1, 10**6, "draws")
    check_range(self, 0, 10**6, "clips", "clip_frames")
    if self.clips and (self.clips < 2 or self.clip_frames < 10):
      raise ValueError("clips must be 0, or at least 2 of 10 frames or more")


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A planned sweep.

  Attributes:
    directory: where everything goes.
    config: dictionary of the reference's TrainConfig.
    settings: SweepConfig.
    cells: the Cells, in the order of their numbers.
    fingerprints: {"tokens", "held_out", "tokenizer"} when it was planned.
    machine: what the hours are for.
  """

  directory: pathlib.Path
  config: dict
  settings: SweepConfig
  cells: tuple
  fingerprints: dict
  machine: dict

  def folder(self, cell):
    """Of what belongs to the cell alone."""
    return self.directory / "cells" / cell.name

  def trunk(self, cell):
    """The work directory that the runs of its size share."""
    return self.directory / "trunks" / cell.shape

  def result(self, cell):
    """What came of a cell; None if it is not done."""
    return read_result(self.folder(cell) / "result.json")

  def results(self):
    """{cell: what came of it} of all that are done, in order.

    Raises:
      UserError: they were not all measured on the same set.
    """
    found = {cell: self.result(cell) for cell in self.cells}
    found = {cell: result for cell, result in found.items() if result}
    sets = {
      r["fixed_set"]: c.name for c, r in found.items() if r.get("fixed_set")
    }
    if len(sets) > 1:
      raise UserError(
        f"{' and '.join(sets.values())} were measured on different sets, so "
        "their losses cannot be compared; delete the result.json of the older "
        "ones and run the sweep again"
      )
    return found

  def size_mates(self, cell):
    """All cells of its size, those first that branch off first."""
    mates = [mate for mate in self.cells if mate.size == cell.size]
    return sorted(mates, key=lambda mate: mate.branch)


@dataclasses.dataclass(frozen=True)
class _Plan:
  """What sweep.json holds beside its version."""

  config: dict
  sweep: SweepConfig
  cells: tuple[Cell, ...]
  fingerprints: dict
  machine: Machine

  def __post_init__(self):
    if not all(isinstance(x, str) for x in self.fingerprints.values()):
      raise ValueError("a fingerprint is no text")


def write_plan(sweep):
  """Writes DIR/sweep.json, unless another sweep has begun there.

  Raises:
    UserError: it has.
  """
  path = sweep.directory / "sweep.json"
  plan = json.loads(json.dumps(_content(sweep)))
  if path.exists() and (sweep.directory / "trunks").exists():
    changes = differences(read_plan_file(sweep.directory), plan)
    if changes:
      raise UserError(
        f"{sweep.directory} holds a sweep that has begun, and another one: "
        f"{describe(changes)}; choose another --out"
      )
  sweep.directory.mkdir(parents=True, exist_ok=True)
  files.write_json(path, plan)


def _content(sweep):
  return {
    "version": _VERSION,
    "config": sweep.config,
    "sweep": to_dict(sweep.settings),
    "cells": [dataclasses.asdict(cell) for cell in sweep.cells],
    "fingerprints": sweep.fingerprints,
    "machine": sweep.machine,
  }


def read_plan(directory):
  """The Sweep that was planned into a directory.

  Raises:
    UserError: there is none, or it is damaged.
  """
  directory = pathlib.Path(directory)
  path = directory / "sweep.json"
  if not path.exists():
    raise UserError(
      f"{directory} holds no sweep (no {path.name}); make one by python -m "
      "launch.sweep plan"
    )
  plan = read_plan_file(directory)
  if plan.get("version") != _VERSION:
    raise UserError(
      f"{path} is of version {plan.get('version')!r}; plan it again"
    )
  plan = {name: value for name, value in plan.items() if name != "version"}
  try:
    plan = from_config(_Plan, plan, "plan")
  except UserError as error:
    raise UserError(
      f"{path} is damaged ({error}); plan the sweep again"
    ) from None
  return Sweep(
    directory,
    plan.config,
    plan.sweep,
    plan.cells,
    plan.fingerprints,
    vars(plan.machine),
  )


def write_points(sweep):
  """Writes points.csv and checks.csv of the cells that are done.

  A sweep is one recipe, so all its points are of one group.
  """
  found = sweep.results()
  for name, check in (("points.csv", False), ("checks.csv", True)):
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    rows = [
      _point(cell, result, sweep.directory.resolve().name)
      for cell, result in found.items()
      if cell.check == check
    ]
    writer.writerows(rows)
    if rows:
      files.write_text(sweep.directory / name, table.getvalue())


def _point(cell, result, recipe):
  loss = result.get("loss")
  return {
    "params": cell.params,
    "tokens": cell.tokens,
    "loss": "" if loss is None else repr(loss),
    "flops": repr(cell.flops),
    "group": recipe,
    "diverged": int(result["diverged"] is not None),
  }
