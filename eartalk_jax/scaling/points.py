"""The points of a scaling study: one CSV row for each trained cell.

  column    what it holds                                             needed
  params    parameters that the law counts                            yes
  tokens    tokens that training saw: latent frames x tokens of one   yes
  loss      on the fixed evaluation set                               yes
  flops     of training, as counted; else 6 x params x tokens         no
  group     the recipe; each gets a law of its own                    no
  diverged  true or false; true rows are kept, shown and not fitted   no

All are absolute counts. Each (params, tokens, group) may come once: average
over seeds before, or fit one seed.
"""

import dataclasses

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.scaling.table import read_table

NEEDED = ("params", "tokens", "loss")
OPTIONAL = ("flops", "group", "diverged")
_TRUTH = {"": False, "false": False, "0": False, "no": False}
_TRUTH |= {"true": True, "1": True, "yes": True}
# Neighbours in a sorted column that lie further apart are in different units.
_JUMP = {"params": 100, "tokens": 100, "loss": 10, "flops": 1e4}
_LONGEST = 80  # name of a group
_OFF = 30  # times the usual FLOPs per parameter and token
# What no run was ever like: other values are in thousands, billions, ...
RANGE = {
  "params": (1e3, 1e18),
  "tokens": (1e3, 1e21),
  "loss": (1e-9, 1e9),
  "flops": (1e6, 1e40),
}
_USUAL = 6.0  # FLOPs for each parameter and token
# Embeddings that are not counted explain a tenfold, parameters that a token
# does not meet a tenth; a thousand is a unit.
_UNUSUAL = 100


@dataclasses.dataclass(frozen=True)
class Points:
  """Points of one kind, ordered by size and tokens.

  Attributes:
    params, tokens, loss: arrays.
    flops: an array, or None if the file has no such column.
    line: line of the file of each.
    group: recipe of each.
  """

  params: np.ndarray
  tokens: np.ndarray
  loss: np.ndarray
  flops: np.ndarray | None
  line: np.ndarray
  group: np.ndarray

  def __len__(self):
    return len(self.params)

  def __getitem__(self, index):
    """The points of an index array or a mask."""
    return Points(
      *(
        None if array is None else array[index]
        for array in (getattr(self, f.name) for f in dataclasses.fields(self))
      )
    )

  def cost(self):
    """FLOPs of each point."""
    if self.flops is None:
      return 6 * self.params * self.tokens
    return self.flops

  def name(self, i):
    """What a message calls a point."""
    return (
      f"line {self.line[i]} ({self.params[i]:.3g} params, "
      f"{self.tokens[i]:.3g} tokens, loss {self.loss[i]:.4g})"
    )


def _ordered(points):
  """By size, then tokens: results do not depend on the order of rows."""
  return points[np.lexsort((points.tokens, points.params))]


def read_points(path, without=()):
  """Reads and checks a CSV file of points.

  Args:
    path: the file.
    without: line numbers to leave out.

  Returns:
    (Points to fit, Points that diverged, Points left out).

  Raises:
    UserError: anything about the file is not as it should be.
  """
  rows = read_table(path, "--points", NEEDED, OPTIONAL)
  lines = [line for line, _ in rows]
  unknown = sorted(set(without) - set(lines))
  if unknown:
    raise UserError(
      f"--without {unknown[0]}: {path} has no point on that line; the header "
      "is line 1"
    )
  cells = [_cell(path, line, row) for line, row in rows]
  flops = "flops" in rows[0][1]
  points = Points(
    *(np.array([c[name] for c in cells], float) for name in NEEDED),
    np.array([c["flops"] for c in cells]) if flops else None,
    np.array(lines),
    np.array([c["group"] for c in cells], object),
  )
  diverged = np.array([c["diverged"] for c in cells])
  out = np.isin(points.line, list(without))
  _refuse_duplicates(path, points)
  _refuse_wrong_units(path, points[~diverged & ~out])
  parts = (~diverged & ~out, diverged & ~out, out)
  return tuple(_ordered(points[part]) for part in parts)


def _cell(path, line, row):
  """A row's values."""
  text = row.get("diverged", "").lower()
  if text not in _TRUTH:
    raise UserError(
      f"{path} line {line}: diverged is {text[:40]!r}, not true/false"
    )
  diverged = _TRUTH[text]
  group = row.get("group", "")
  if len(group) > _LONGEST or not group.isprintable():
    raise UserError(
      f"{path} line {line}: group is {group[:_LONGEST]!r}; give a short name"
    )
  cell = {"group": group, "diverged": diverged}
  for name in (*NEEDED, "flops"):
    if name in row:
      free = diverged and name == "loss"
      cell[name] = _number(path, line, name, row[name], free)
  return cell


def _number(path, line, name, text, free):
  """A positive number; anything at all becomes NaN if `free`."""
  try:
    value = float(text)
  except ValueError:
    if free:
      return np.nan
    raise UserError(
      f"{path} line {line}: {name} is {text[:40]!r}; give a plain number, in "
      "absolute counts"
    ) from None
  if not (0 < value < np.inf) and not free:
    raise UserError(
      f"{path} line {line}: {name} is {text}; it has to be positive and "
      "finite. If the run diverged, say so: diverged = true"
    )
  return value


def _refuse_duplicates(path, points):
  seen = {}
  for i in range(len(points)):
    key = (points.params[i], points.tokens[i], points.group[i])
    if key in seen:
      raise UserError(
        f"{path}: lines {seen[key]} and {points.line[i]} are the same cell "
        f"({key[0]:g} params, {key[1]:g} tokens); average over seeds, or give "
        "each recipe its own group"
      )
    seen[key] = points.line[i]


def _refuse_wrong_units(path, points):
  """Columns in far-apart heaps or absurd, FLOPs that do not fit."""
  if not len(points):
    return
  for name, factor in _JUMP.items():
    values = getattr(points, name)
    if values is not None:
      _check_column(path, points, name, values, factor)
  if points.flops is None:
    return
  each = points.flops / points.params / points.tokens
  usual = np.median(each)
  off = np.abs(np.log(each / usual))
  worst = int(off.argmax())
  if off[worst] > np.log(_OFF):
    raise UserError(
      f"{path} line {points.line[worst]}: mixed units? flops are "
      f"{each[worst]:.3g} x params x tokens here and {usual:.3g} x elsewhere"
    )
  if abs(np.log(usual / _USUAL)) > np.log(_UNUSUAL):
    raise UserError(
      f"{path}: flops are {usual:.3g} x params x tokens, and training takes "
      f"about {_USUAL:g} x; give all three in absolute counts, tokens as "
      "latent frames x tokens of one, or leave the column flops out"
    )


def _check_column(path, points, name, values, factor):
  """Raises a UserError if values of a column cannot be of one sane unit."""
  order = np.argsort(values, kind="stable")
  jumps = np.diff(np.log(values[order]))
  if len(jumps) and jumps.max() > np.log(factor):
    k = int(jumps.argmax())
    low, high = order[k], order[k + 1]
    raise UserError(
      f"{path}: mixed units in {name}? line {points.line[low]} has "
      f"{values[low]:g}, the next larger value is {values[high]:g} on line "
      f"{points.line[high]}; give absolute counts everywhere"
    )
  least, most = RANGE[name]
  for i in order[[0, -1]]:
    if not least <= values[i] <= most:
      raise UserError(
        f"{path} line {points.line[i]}: {name} is {values[i]:g}, and no run "
        f"has fewer than {least:g} or more than {most:g}: thousands, millions "
        "or billions? Give absolute counts"
      )
