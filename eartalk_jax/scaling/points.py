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

import csv
import dataclasses
import pathlib

import numpy as np

from eartalk_jax.errors import UserError

NEEDED = ("params", "tokens", "loss")
OPTIONAL = ("flops", "group", "diverged")
_TRUTH = {"": False, "false": False, "0": False, "no": False}
_TRUTH |= {"true": True, "1": True, "yes": True}
# Neighbours in a sorted column that lie further apart are in different units.
_JUMP = {"params": 100, "tokens": 100, "loss": 10, "flops": 1e4}
_OFF = 30  # times the usual FLOPs per parameter and token


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


def points_of(params, tokens, loss, flops=None):
  """Points out of arrays, numbered from 1, as if of one group."""
  arrays = [np.asarray(a, float) for a in (params, tokens, loss)]
  flops = None if flops is None else np.asarray(flops, float)
  count = len(arrays[0])
  group = np.full(count, "", object)
  return _ordered(Points(*arrays, flops, np.arange(1, count + 1), group))


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
  rows = _rows(path)
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
  _refuse_mixed_units(path, points[~diverged & ~out])
  parts = (~diverged & ~out, diverged & ~out, out)
  return tuple(_ordered(points[part]) for part in parts)


def _rows(path):
  """[(line number, {column: text})] of a file with a sound header."""
  path = pathlib.Path(path)
  try:
    with open(path, newline="", encoding="utf-8-sig") as file:
      reader = csv.reader(file, strict=True)
      header = [name.strip() for name in next(reader, [])]
      rows = [(reader.line_num, row) for row in reader if any(row)]
  except OSError as error:
    raise UserError(f"--points {path}: {error.strerror}") from None
  except (csv.Error, UnicodeDecodeError) as error:
    raise UserError(f"{path} is not a CSV file: {error}") from None
  known = NEEDED + OPTIONAL
  missing = [name for name in NEEDED if name not in header]
  strange = [name for name in header if name not in known]
  if missing:
    raise UserError(
      f"{path} has no column {', '.join(missing)}; it needs "
      f"{', '.join(NEEDED)} and may have {', '.join(OPTIONAL)}"
    )
  if strange:
    raise UserError(
      f"{path}: unknown column {strange[0]!r}; remove or rename it: columns "
      f"are {', '.join(known)}"
    )
  if len(set(header)) < len(header):
    raise UserError(f"{path} has a column twice: {', '.join(header)}")
  if not rows:
    raise UserError(f"{path} has no points below its header")
  for line, row in rows:
    if len(row) != len(header):
      raise UserError(
        f"{path} line {line}: {len(row)} values for {len(header)} columns"
      )
  return [
    (line, dict(zip(header, map(str.strip, row), strict=True)))
    for line, row in rows
  ]


def _cell(path, line, row):
  """A row's values."""
  text = row.get("diverged", "").lower()
  if text not in _TRUTH:
    raise UserError(f"{path} line {line}: diverged is {text!r}, not true/false")
  diverged = _TRUTH[text]
  cell = {"group": row.get("group", ""), "diverged": diverged}
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
      f"{path} line {line}: {name} is {text!r}; give a plain number, in "
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


def _refuse_mixed_units(path, points):
  """Columns whose values fall into far-apart heaps, FLOPs that do not fit."""
  if not len(points):
    return
  for name, factor in _JUMP.items():
    values = getattr(points, name)
    if values is None:
      continue
    order = np.argsort(values, kind="stable")
    jumps = values[order][1:] / values[order][:-1]
    if len(jumps) and jumps.max() > factor:
      k = int(jumps.argmax())
      low, high = order[k], order[k + 1]
      raise UserError(
        f"{path}: mixed units in {name}? line {points.line[low]} has "
        f"{values[low]:g}, the next larger value is {values[high]:g} on line "
        f"{points.line[high]}; give absolute counts everywhere"
      )
    if name in ("params", "tokens") and values.min() < 10:
      line = points.line[order[0]]
      raise UserError(
        f"{path} line {line}: {name} is {values.min():g}: thousands, millions "
        "or billions? Give absolute counts"
      )
  if points.flops is not None:
    each = points.flops / (points.params * points.tokens)
    off = np.abs(np.log(each / np.median(each)))
    worst = int(off.argmax())
    if off[worst] > np.log(_OFF):
      raise UserError(
        f"{path} line {points.line[worst]}: mixed units? flops are "
        f"{each[worst]:.3g} x params x tokens here and "
        f"{np.median(each):.3g} x elsewhere"
      )
