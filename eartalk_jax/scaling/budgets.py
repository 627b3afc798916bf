"""Which budgets and rules a sweep cannot have."""

import math
import re

from eartalk_jax.errors import UserError

# A longer run is a budget in other units, and its model none that can be made.
_MOST_YEARS = 1000


def budget_name(flops):
  """1e12, 3.2e+15 -> "1e12", "3.2e15"."""
  return re.sub(r"e\+0*", "e", f"{flops:g}")


def check_budgets(budgets, checks, machine):
  """Raises UserError unless budgets can carry a fit, and checks test it.

  Args:
    budgets: FLOPs of the cells.
    checks: FLOPs of the runs that are kept from the fit.
    machine: Machine.
  """
  for budget in (*budgets, *checks):
    if not (math.isfinite(budget) and budget > 0):
      raise UserError(f"budget {budget:g}: FLOPs must be positive and finite")
    years = machine.hours(budget) / 24 / 365
    if years > _MOST_YEARS:
      raise UserError(
        f"budget {budget_name(budget)}: {years:.2g} years of "
        f"{machine.devices} x {machine.name}; is it in FLOPs? Take a smaller "
        "one, or more devices"
      )
  names = [budget_name(budget) for budget in budgets]
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise UserError(f"budget {twice[0]} is named twice")
  if len(budgets) < 2:
    raise UserError(
      "one budget tells nothing of growth; name at least two, better four"
    )
  for budget in checks:
    if budget <= max(budgets):
      raise UserError(
        f"the check of {budget_name(budget)} FLOPs must be larger than every "
        "budget of the fit"
      )


def check_transfer(optimizer, rule):
  """With width transfer one rate serves, and heads must keep their width."""
  if not optimizer.base_width:
    return
  if rule.unit % rule.head_dim:
    raise UserError(
      "config: run.optimizer.base_width is set, so a model must grow by whole "
      f"heads: ladder.unit must be a multiple of ladder.head_dim = "
      f"{rule.head_dim}, not {rule.unit}"
    )
  if rule.lr_power:
    raise UserError(
      "config: run.optimizer.base_width lets one rate serve all widths; "
      "ladder.lr_power must be 0"
    )
