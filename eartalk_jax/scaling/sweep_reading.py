"""What the fitter reads of a sweep beside its points.

DIR/sweep.json               the plan; of its "cells" name, check and figures
DIR/cells/NAME/result.json   of a finished cell: diverged (why, or null), loss,
                             fixed_set (what it was measured on), samples
DIR/checks.csv               points that are kept from the fit, to test it
DIR/**/transfer*.png         of launch.transfer, in DIR or one folder below
"""

import dataclasses
import os
import pathlib

from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.figures import chosen
from eartalk_jax.scaling.points import read_points

# What the table of cells shows, of the plan and the result.
_SHOWN = ("budget", "params", "tokens", "flops", "loss")
# The same of samples.
SAMPLES = chosen("lip", "own_portrait_nearest")


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A sweep's cells as its folder tells them.

  Attributes:
    directory: of the sweep.
    cells: {name: (plan of the cell, its result or None)}.
  """

  directory: pathlib.Path
  cells: dict

  @property
  def missing(self):
    """Names of cells that the fit should have and that are not finished."""
    return [
      name
      for name, (plan, result) in self.cells.items()
      if result is None and not plan.get("check")
    ]

  def checks(self):
    """[(params, tokens, measured loss)] of the cells kept from the fit."""
    path = self.directory / "checks.csv"
    if not path.is_file():
      return []
    kept, _, _ = read_points(path)
    columns = (kept.params, kept.tokens, kept.loss)
    return list(zip(*(c.tolist() for c in columns), strict=True))

  def rows(self, out):
    """The table of cells, with links from the folder `out`."""
    found = []
    for name, (plan, result) in self.cells.items():
      known = plan | (result or {})
      figures = {key: known.get(key) for key in _SHOWN}
      figures |= {key: (known.get("samples") or {}).get(key) for key in SAMPLES}
      link = os.path.relpath(self.directory / "cells" / name, out)
      found.append(
        {"cell": name}
        | {k: _figure(v) for k, v in figures.items() if v is not None}
        | {"state": _state(plan, result), "run": link}
      )
    return found

  def transfer(self):
    """{name: PNG bytes} of its plots of transfer."""
    paths = [
      path
      for pattern in ("transfer*.png", "*/transfer*.png")
      for path in sorted(self.directory.glob(pattern))
      if path.is_file()
    ]
    return {str(path): path.read_bytes() for path in paths}


def sweep_beside(points):
  """The Sweep that wrote a points file, or None where there is none.

  Raises:
    UserError: its files cannot be read.
  """
  directory = pathlib.Path(points).parent
  if not (directory / "sweep.json").is_file():
    return None
  cells = {}
  for plan in read_plan_file(directory)["cells"]:
    path = directory / "cells" / plan["name"] / "result.json"
    cells[plan["name"]] = plan, read_result(path)
  return Sweep(directory, cells)


def read_plan_file(directory):
  """The value of DIR/sweep.json: a dict whose cells have names.

  Raises:
    UserError: it is damaged.
  """
  path, remedy = pathlib.Path(directory) / "sweep.json", "plan the sweep again"
  plan = read_json(path, remedy)
  cells = plan.get("cells") if isinstance(plan, dict) else None
  if not isinstance(cells, list) or not cells:
    raise UserError(f"{path} is damaged (it has no cells); {remedy}")
  for cell in cells:
    name = cell.get("name") if isinstance(cell, dict) else None
    # It becomes a folder's name.
    if not isinstance(name, str) or pathlib.PurePath(name).name != name:
      raise UserError(f"{path} is damaged (a cell named {name!r}); {remedy}")
  return plan


def read_result(path):
  """What came of a cell; None if it is not done.

  Raises:
    UserError: the file is damaged.
  """
  if not path.is_file():
    return None
  remedy = "delete it and run the sweep again"
  result = read_json(path, remedy)
  if not isinstance(result, dict) or "diverged" not in result:
    raise UserError(f"{path} is damaged (no diverged in it); {remedy}")
  numbers = {"loss": result.get("loss"), "error": result.get("error")}
  samples = result.get("samples") or {}
  if isinstance(samples, dict):
    numbers |= samples
  wrong = [
    *(n for n in ("diverged", "fixed_set") if not _or_none(result.get(n), str)),
    *(n for n, value in numbers.items() if not _or_none(value, (int, float))),
    *["samples"] * (not isinstance(samples, dict)),
    *["loss"] * (result["diverged"] is None and numbers["loss"] is None),
  ]
  if wrong:
    raise UserError(f"{path} is damaged ({wrong[0]} is none); {remedy}")
  return result


def _or_none(value, kinds):
  return value is None or (
    isinstance(value, kinds) and not isinstance(value, bool)
  )


def _figure(value):
  return float(value) if isinstance(value, int) else value


def _state(plan, result):
  if result is None:
    return "not finished"
  if result.get("diverged") is not None:
    return f"diverged: {result['diverged']}"
  return "done, kept from the fit" if plan.get("check") else "done"


def refuse_changed_data(sweep):
  """Raises a UserError if cells were measured on unlike data.

  Raises:
    UserError: fingerprints differ; the message names cells of each.
  """
  seen = {}
  for name, (_, result) in sweep.cells.items():
    if result and result.get("fixed_set"):
      seen.setdefault(str(result["fixed_set"]), []).append(name)
  if len(seen) > 1:
    told = "; ".join(
      f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''} ({key[:12]})"
      for key, names in seen.items()
    )
    raise UserError(
      f"the data of {sweep.directory} changed between cells: {told}. Losses on "
      "unlike data follow no common law: delete the result.json of the older "
      "ones and run the sweep again"
    )


def refuse_unfinished(sweep):
  """Raises a UserError if cells are missing.

  Raises:
    UserError: the message counts them and names some.
  """
  missing = sweep.missing
  if missing:
    more = " ..." if len(missing) > 3 else ""
    raise UserError(
      f"{len(missing)} of {len(sweep.cells)} cells of {sweep.directory} are "
      f"not finished: {', '.join(missing[:3])}{more}. Run them (python -m "
      f"launch.sweep run {sweep.directory}), or fit what is there with "
      "--partial"
    )
