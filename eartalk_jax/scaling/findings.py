"""What a fit found out, as one JSON-able value: fit.json."""

import math

from eartalk_jax.scaling import isoflop
from eartalk_jax.scaling.checks import bends, warnings_of
from eartalk_jax.scaling.fitting import (
  LEVEL,
  RUN_LEVEL,
  constants,
  leave_budgets_out,
  optimum_at,
  prediction,
  report_budgets,
  speed_up,
)
from eartalk_jax.scaling.law import share_exponents


def findings(studies, budgets=(), runs=()):
  """Everything about the recipes; the first one's law is at the top.

  Args:
    studies: {group: fitting.Study}; speed-ups are against the first.
    budgets: FLOPs to tell the optimum of, besides the points' own.
    runs: (params, tokens, measured loss or None) of runs to predict.
  """
  groups = {
    group: _of_study(study, budgets, runs) for group, study in studies.items()
  }
  (first, base), *others = studies.items()
  found = groups.pop(first)
  found["group"] = first
  found["groups"] = groups
  found["speed_up"] = [
    {"group": group} | speed_up(base, study, flops)
    for group, study in others
    for flops in report_budgets(base, budgets)
  ]
  return _finite(found)


def _of_study(study, budgets, runs):
  """One recipe's part."""
  robust, projected = constants(study)
  shown = report_budgets(study, budgets)
  cost = study.cost
  left_out = leave_budgets_out(study)
  return robust | {
    "fitted": len(study.points),
    "varpro": projected,
    "interval": LEVEL,
    "run_interval": RUN_LEVEL,
    "resamples": len(study.resampled.huber.E),
    "starts_reached": study.fits[0].reached,
    "cost": {
      "factor": cost.factor,
      "power": cost.power,
      "deviation": cost.deviation,
      "source": cost.source,
    },
    "optimum": [optimum_at(study, flops) for flops in shown],
    "predictions": [prediction(study, *run) for run in runs],
    "budgets": [
      {
        "flops": b.flops,
        "points": len(b.members),
        "best_params": b.best,
        "inside": b.inside,
      }
      for b in study.budgets
    ],
    "approach_2": _approach_2(study, shown[-1]),
    "approach_1": _line(isoflop.envelope_line(study.points)),
    "leave_one_budget_out": left_out,
    "leverage": [
      {
        "line": int(study.points.line[p.index]),
        "params": study.points.params[p.index],
        "tokens": study.points.tokens[p.index],
        "loss": study.points.loss[p.index],
        "leverage": p.leverage,
        "deviations": p.deviations,
        "shift_alpha": p.shift[0],
        "shift_beta": p.shift[1],
        "gross": p.gross,
      }
      for p in study.leverages
    ],
    "warnings": [
      *warnings_of(
        study.points,
        study.fits,
        study.resampled,
        LEVEL,
        cost,
        study.leverages,
        [*budgets, *(cost.flops(n, d) for n, d, _ in runs)],
      ),
      *bends(left_out),
    ],
  }


def _approach_2(study, flops):
  """The vertices' line, what it says of a budget, and its own error there."""
  line = isoflop.vertex_line(study.budgets)
  if line is None:
    return None
  params = line.params(flops)
  return _line(line) | {
    "flops": flops,
    "params": params,
    "tokens": study.cost.tokens(params, flops),
    "law_exponent": share_exponents(study.law, study.cost)[0],
    "bias": isoflop.bias(study.points, study.law, study.cost, flops),
  }


def _line(line):
  return line and {"factor": line.factor, "exponent": line.power}


def _finite(value):
  """JSON has neither infinity nor NaN: None in their place."""
  if isinstance(value, dict):
    return {key: _finite(item) for key, item in value.items()}
  if isinstance(value, list):
    return [_finite(item) for item in value]
  if isinstance(value, float):
    return float(value) if math.isfinite(value) else None
  return value
