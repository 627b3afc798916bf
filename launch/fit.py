"""Fits a scaling law, with intervals, to trained runs.

  loss = E + A / params^alpha + B / tokens^beta

Writes DIR/fit.json for machines and DIR/report.html for people, or nothing if
the points cannot carry a law. Columns of the file: params, tokens, loss, and
if wanted flops, group (the recipe) and diverged (true or false).
"""

import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
from argparse import ArgumentTypeError

import numpy as np

from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_file
from eartalk_jax.scaling.findings import findings
from eartalk_jax.scaling.fitting import fit_points
from eartalk_jax.scaling.law import read_runs
from eartalk_jax.scaling.points import RANGE, read_points
from eartalk_jax.scaling.report import Told, build_report
from eartalk_jax.scaling.summary import print_summary
from eartalk_jax.scaling.sweep_reading import (
  refuse_changed_data,
  refuse_unfinished,
  sweep_beside,
)
from launch import cli
from launch.arguments import Parser, integer, number

_WRITTEN = ("fit.json", "report.html")
_FAR = 1e6  # times the largest point, or below the smallest
_EPILOG = """examples:
  python -m launch.fit --points runs/sweep/points.csv --out runs/sweep/fit
  python -m launch.fit --points points.csv --out fit --budgets 1e21,1e23 \\
    --at 1e9:2e10        what a run of 1e9 parameters and 2e10 tokens will reach

exit status: 0 fitted (fit.json may hold warnings), 2 refused, with the reason
"""


def _arguments(argv):
  parser = Parser("fit", __doc__, _EPILOG)
  add = parser.add_argument
  add("--points", required=True, help="CSV file of points")
  add("--out", required=True, help="folder to write to")
  add("--budgets", default="", help="FLOPs to tell the optimum of: 1e21,1e23")
  add("--at", default="", help="runs to predict: PARAMS:TOKENS[:LOSS],...")
  add("--without", default="", help="lines of the file to leave out: 2,7")
  add("--partial", action="store_true", help="fit a sweep that is not finished")
  add(
    "--resamples",
    type=integer(100, 20_000),
    default=1000,
    help="for intervals (%(default)s)",
  )
  add(
    "--seed",
    type=integer(0, 2**32 - 1),
    default=0,
    help="of the resampling (%(default)s)",
  )
  args = parser.parse_args(argv)
  args.budgets = _numbers("--budgets", args.budgets, number(*RANGE["flops"]))
  args.without = _numbers("--without", args.without, integer(1))
  args.at = read_runs(args.at)
  return args


def _numbers(flag, text, kind):
  try:
    return [kind(part) for part in filter(None, text.split(","))]
  except ArgumentTypeError as error:
    raise UserError(f"{flag} {error}, with commas between them") from None


def _shown(text):
  """A text with names of any bytes, as UTF-8 can tell it."""
  return os.fsencode(text).decode("utf-8", "backslashreplace")


def _refuse_far(points, args):
  """Raises a UserError if what is asked for cannot be in the points' units.

  Raises:
    UserError: a budget, or a run's size or tokens, a millionth of the smallest
      or a million times the largest.
  """
  if not len(points):
    return
  asked = [
    ("--budgets", "FLOPs", points.cost(), flops) for flops in args.budgets
  ]
  for params, tokens, _ in args.at:
    asked.append(("--at", "params", points.params, params))
    asked.append(("--at", "tokens", points.tokens, tokens))
  for flag, name, values, value in asked:
    if not values.min() / _FAR <= value <= values.max() * _FAR:
      raise UserError(
        f"{flag}: {value:g} {name}, where the points have {values.min():.3g} "
        f"to {values.max():.3g}: over {_FAR:g} times away no law tells "
        "anything; are the units the same?"
      )


def fit_groups(points, resamples, seed):
  """{group: Study}, in the order in which the file names them.

  Raises:
    UserError: a group cannot be fitted; the message names it.
  """
  if not len(points):
    raise UserError("no points are left to fit: all diverged or are left out")
  studies = {}
  groups = list(dict.fromkeys(points.group[np.argsort(points.line)]))
  with counting("resampling", resamples * len(groups), "fits") as advance:
    for group in groups:
      try:
        studies[group] = fit_points(
          points[points.group == group], resamples, seed, advance
        )
      except UserError as error:
        where = f"group {group}: " if len(groups) > 1 else ""
        raise UserError(f"{where}{error}") from None
  return studies


def _read(args):
  """The points, what was not fitted of them, and the sweep that wrote them.

  Raises:
    UserError: any of it is not as it should be.
  """
  sweep = sweep_beside(args.points)
  if sweep:
    refuse_changed_data(sweep)
    if not args.partial:
      refuse_unfinished(sweep)
  points, diverged, left_out = read_points(args.points, args.without)
  about = {
    "file": _shown(args.points),
    "sha256": files.sha256_of_file(args.points),
    "fitted": len(points),
    "diverged": [diverged.name(i) for i in range(len(diverged))],
    "left_out": [left_out.name(i) for i in range(len(left_out))],
    "missing_cells": sweep.missing if sweep else [],
  }
  return points, about, sweep


def _notes(about):
  """Warnings about points that are not there."""
  missing = about["missing_cells"]
  if missing:
    yield (
      f"PARTIAL: {len(missing)} cells of the sweep are not finished: "
      f"{', '.join(missing)}"
    )
  for key, words in (("diverged", "diverged"), ("left_out", "was left out")):
    for name in about[key]:
      yield f"{name} {words} and is not fitted"


def analyse(argv):
  """Reads and fits, and writes nothing.

  Returns:
    (arguments, {group: Study}, the value of fit.json, sweep or None).

  Raises:
    UserError: the points cannot carry a law.
  """
  args = _arguments(argv)
  for name in _WRITTEN:
    check_file(pathlib.Path(args.out, name), reads=[args.points])
  points, about, sweep = _read(args)
  _refuse_far(points, args)
  studies = fit_groups(points, args.resamples, args.seed)
  runs = args.at + (sweep.checks() if sweep else [])
  found = findings(studies, args.budgets, runs)
  found["warnings"] = [*_notes(about), *found["warnings"]]
  found["points"] = about
  command = shlex.join(["python", "-m", "launch.fit", *argv])
  found["command"] = _shown(command)
  found["seed"] = args.seed
  found["versions"] = {"Python": platform.python_version()} | {
    name: importlib.metadata.version(name)
    for name in ("numpy", "scipy", "matplotlib")
  }
  return args, studies, found, sweep


def main(argv=None):
  """The command."""
  args, studies, found, sweep = analyse(sys.argv[1:] if argv is None else argv)
  print_summary(found)
  report = build_report(_told(args, studies, found, sweep))
  fit_name, report_name = _WRITTEN
  with alone_in(args.out) as out:
    files.write_json(out / fit_name, found)
    files.write_text(out / report_name, report)
  print(_shown(f"fit: {out / fit_name}\nreport: {out / report_name}"))


def _told(args, studies, found, sweep):
  """All that the report shows."""
  # Slow to import, and not needed by who asks for --help.
  from eartalk_jax.scaling.plots import draw_all, quality

  cells = sweep.rows(args.out) if sweep else []
  by_group = {found["group"]: found} | found["groups"]
  return Told(
    title=_shown(f"Scaling law of {args.points}"),
    found=found,
    images={
      group: draw_all(
        study,
        [best["flops"] for best in by_group[group]["optimum"]],
        by_group[group]["predictions"],
      )
      for group, study in studies.items()
    },
    cells=cells,
    quality=quality(cells),
    transfer=sweep.transfer() if sweep else {},
    points=pathlib.Path(args.points).read_text(encoding="utf-8-sig"),
  )


if __name__ == "__main__":
  cli.run(main)
