"""A fitted law as a few lines on a terminal."""

from rich.console import Console
from rich.table import Table

from eartalk_jax.scaling.law import NAMES


def print_summary(found):
  """Prints what a person wants to know of fit.json at once."""
  console = Console(highlight=False, soft_wrap=True)
  recipes = {"": found}
  if found["groups"]:
    recipes = {found["group"]: found} | found["groups"]
    recipes = {f"{group}: ": fit for group, fit in recipes.items()}
  for recipe, fit in recipes.items():
    console.print(_constants(fit))
    console.print(
      f"\n{recipe}{fit['fitted']} points; objective {fit['objective']:.8g}, "
      f"{'converged' if fit['converged'] else 'NOT CONVERGED'}; FLOPs from "
      f"{fit['cost']['source']}\n"
    )
  first = f"FLOPs, {found['group']}" if found["groups"] else "FLOPs"
  table = Table(first, box=None, pad_edge=False)
  for name in ("params", "tokens", "tokens/param", "loss", "one run, 90 %"):
    table.add_column(name, justify="right")
  for best in found["optimum"]:
    table.add_row(*_row(best, f"{best['tokens_per_param']:.3g}"))
  for run in found["predictions"]:
    table.add_row(*_row(run, "this run"))
  console.print(table)
  for line in (
    *_measured(found),
    *_speed_ups(found),
    *_cross_checks(found),
  ):
    console.print(line)
  for recipe, fit in recipes.items():
    for warning in fit["warnings"]:
      console.print(f"warning: {recipe}{warning}")


def _constants(found):
  table = Table("constant", box=None, pad_edge=False)
  for name in ("robust fit", "interval", "variable projection", "interval"):
    table.add_column(name, justify="right")
  for name in (*NAMES, "a", "b"):
    row = [name]
    for fit in (found, found["varpro"]):
      low, high = fit[f"{name}_low"], fit[f"{name}_high"]
      row += [f"{fit[name]:.5g}", f"{low:.4g} - {high:.4g}"]
    table.add_row(*row)
  return table


def _measured(found):
  for run in found["predictions"]:
    if "measured" in run:
      yield (
        f"{run['params']:.3g} params on {run['tokens']:.3g} tokens reached "
        f"{run['measured']:.4g}: {'inside' if run['inside'] else 'OUTSIDE'} "
        "the interval"
      )


def _speed_ups(found):
  for row in found["speed_up"]:
    text = f"{row['group']} never gets there"
    if row["speed_up"]:
      text = (
        f"{row['group']} needs {row['needed']:.3g}, {row['speed_up']:.3g} x "
        f"less ({_number(row['speed_up_low'])} - "
        f"{_number(row['speed_up_high'])})"
      )
    yield (
      f"loss {row['loss']:.4g} of {row['flops']:.3g} FLOPs of "
      f"{found['group']}: {text}"
    )


def _cross_checks(found):
  second = found["approach_2"]
  if second:
    yield (
      f"approach 2: params grow as C^{second['exponent']:.3f}, the law says "
      f"C^{second['law_exponent']:.3f}; at {second['flops']:.3g} FLOPs "
      f"{second['params']:.3g} params, {second['tokens']:.3g} tokens"
    )
    if second["bias"]:
      yield (
        "  its own bias there, on this law without noise: params "
        f"{second['bias']['params']:+.1%}, tokens "
        f"{second['bias']['tokens']:+.1%}"
      )
  if found["approach_1"]:
    exponent = found["approach_1"]["exponent"]
    yield f"approach 1: params grow as C^{exponent:.3f}"
  for row in found["leave_one_budget_out"]:
    if row["beyond"]:
      yield (
        f"without the budget {row['flops']:.3g}, the largest, its losses are "
        f"predicted within {row['error']:.2%}"
      )


def _number(value):
  return "unknown" if value is None else f"{value:.3g}"


def _row(run, ratio):
  return (
    f"{run['flops']:.3g}",
    f"{run['params']:.3g}",
    f"{run['tokens']:.3g}",
    ratio,
    f"{run['loss']:.4g}",
    f"{run['run_low']:.4g} - {run['run_high']:.4g}",
  )
