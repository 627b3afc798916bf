"""Which budgets and rules a sweep cannot have."""

import math
import re

from eartalk_jax.errors import UserError


def budget_name(flops):
  """1e12, 3.2e+15 -> "1e12", "3.2e15"."""
  return re.sub(r"e\+0*", "e", f"{flops:g}")


def check_budgets(budgets, checks):
  """Raises UserError unless budgets can carry a fit, and checks test it."""
  for budget in (*budgets, *checks):
    if not (math.isfinite(budget) and budget > 0):
      raise UserError(f"budget {budget:g}: FLOPs must be positive and finite")
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
