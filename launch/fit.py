"""Fits a scaling law to the points of trained runs, with intervals.

  loss = E + A / params^alpha + B / tokens^beta

Writes DIR/fit.json for machines and DIR/report.html for people, or nothing if
the points cannot carry a law. Columns of the file: params, tokens, loss, and
if wanted flops, group (the recipe) and diverged (true or false).
"""

import argparse
import importlib.metadata
import math
import pathlib
import platform
import shlex
import sys

import numpy as np

from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.scaling.findings import findings
from eartalk_jax.scaling.fitting import fit_points
from eartalk_jax.scaling.law import read_runs
from eartalk_jax.scaling.points import read_points
from eartalk_jax.scaling.report import Told, build_report
from eartalk_jax.scaling.summary import print_summary
from eartalk_jax.scaling.sweep_reading import (
  refuse_changed_data,
  refuse_unfinished,
  sweep_beside,
)
from launch import cli

_EPILOG = """examples:
  python -m launch.fit --points runs/sweep/points.csv --out runs/sweep/fit
  python -m launch.fit --points points.csv --out fit --budgets 1e21,1e23 \\
    --at 1e9:2e10        what a run of 1e9 parameters and 2e10 tokens will reach

exit status: 0 fitted (fit.json may hold warnings), 2 refused, with the reason
"""


def _arguments(argv):
  parser = argparse.ArgumentParser(
    prog="python -m launch.fit",
    description=__doc__,
    epilog=_EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--points", required=True, help="CSV file of points")
  add("--out", required=True, help="folder to write to")
  add("--budgets", default="", help="FLOPs to tell the optimum of: 1e21,1e23")
  add("--at", default="", help="runs to predict: PARAMS:TOKENS[:LOSS],...")
  add("--without", default="", help="lines of the file to leave out: 2,7")
  add("--partial", action="store_true", help="fit a sweep that is not finished")
  add("--resamples", type=int, default=1000, help="for intervals (%(default)s)")
  add("--seed", type=int, default=0, help="of the resampling (%(default)s)")
  args = parser.parse_args(argv)
  if args.resamples < 100:
    parser.error("--resamples: intervals need at least 100")
  args.budgets = _numbers("--budgets", args.budgets, float)
  args.without = _numbers("--without", args.without, int)
  args.at = read_runs(args.at)
  return args


def _numbers(flag, text, kind):
  try:
    numbers = [kind(part) for part in filter(None, text.split(","))]
  except ValueError:
    raise UserError(f"{flag} {text}: give numbers, with commas") from None
  if any(not 0 < number < math.inf for number in numbers):
    raise UserError(f"{flag} {text}: every number has to be positive")
  return numbers


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
    "file": args.points,
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
  points, about, sweep = _read(args)
  studies = fit_groups(points, args.resamples, args.seed)
  runs = args.at + (sweep.checks() if sweep else [])
  found = findings(studies, args.budgets, runs)
  found["warnings"] = [*_notes(about), *found["warnings"]]
  found["points"] = about
  found["command"] = shlex.join(["python", "-m", "launch.fit", *argv])
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
  out = pathlib.Path(args.out)
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"--out {out}: {error.strerror}") from None
  report = build_report(_told(args, studies, found, sweep))
  files.write_json(out / "fit.json", found)
  files.write_text(out / "report.html", report)
  print(f"fit: {out / 'fit.json'}\nreport: {out / 'report.html'}")


def _told(args, studies, found, sweep):
  """All that the report shows."""
  # Slow to import, and not needed by who asks for --help.
  from eartalk_jax.scaling.plots import draw_all, quality

  cells = sweep.rows(args.out) if sweep else []
  by_group = {found["group"]: found} | found["groups"]
  return Told(
    title=f"Scaling law of {args.points}",
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
