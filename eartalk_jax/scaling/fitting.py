"""All that launch.fit finds out about one recipe's points."""

import dataclasses

import numpy as np

from eartalk_jax.scaling import checks, huber, isoflop, varpro
from eartalk_jax.scaling.bootstrap import (
  Resampled,
  draw,
  interval,
  resample,
)
from eartalk_jax.scaling.law import (
  NAMES,
  Cost,
  best_loss,
  cost_of,
  flops_for,
  optimum,
  share_exponents,
)
from eartalk_jax.scaling.leverage import high_leverage
from eartalk_jax.scaling.points import Points

LEVEL = 0.95  # of intervals of constants and optima
RUN_LEVEL = 0.9  # of the interval in which one more run should fall
_AGAIN = 200  # resamples of the points without the largest budget


@dataclasses.dataclass(frozen=True)
class Study:
  """A fitted recipe.

  Attributes:
    points, cost, budgets: what was fitted.
    fits: (huber.Fit, varpro.Fit).
    resampled: both again, for each resample.
    leverages: points of high leverage.
    seed: of the resampling.
  """

  points: Points
  cost: Cost
  budgets: list
  fits: tuple
  resampled: Resampled
  leverages: list
  seed: int

  @property
  def law(self):
    """The law of the robust fit."""
    return self.fits[0].law


def fit_points(points, resamples=1000, seed=0, advance=lambda n: None):
  """Fits one recipe, or refuses.

  Args:
    points: Points of one recipe.
    resamples: how often to fit again for intervals.
    seed: of the resampling.
    advance: called with the number of resamples done, now and then.

  Returns:
    Study.

  Raises:
    UserError: the points cannot carry a law, see `checks`.
  """
  checks.refuse_unfit(points)
  cost = cost_of(points)
  fits = huber.fit_huber(points), varpro.fit_varpro(points)
  checks.refuse_one_side(points, fits[0].law, cost)
  resampled = resample(points, fits, resamples, seed, advance)
  study = Study(
    points,
    cost,
    isoflop.budgets_of(points),
    fits,
    resampled,
    high_leverage(points, fits[0]),
    seed,
  )
  robust, projected = constants(study)
  checks.refuse_disagreement(robust, projected)
  return study


def constants(study):
  """The constants of both fits with intervals, for fit.json."""
  pairs = (
    (study.fits[0], study.resampled.huber),
    (study.fits[1], study.resampled.varpro),
  )
  return [
    {"objective": fit.objective, "converged": fit.converged}
    | _constants(study, fit.law, laws)
    for fit, laws in pairs
  ]


def _constants(study, law, laws):
  found = {}
  for name in NAMES:
    found |= _with_interval(
      study, name, getattr(law, name), getattr(laws, name)
    )
  exponents = share_exponents(law, study.cost)
  spread = share_exponents(laws, study.cost)
  for name, value, values_R in zip("ab", exponents, spread, strict=True):
    found |= _with_interval(study, name, value, values_R)
  return found


def _with_interval(study, name, value, values_R, level=LEVEL):
  low, high = interval(values_R, level)
  return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def optimum_at(study, flops):
  """The best run for a budget and what it should reach, with intervals."""
  laws = study.resampled.huber
  params, tokens = optimum(study.law, study.cost, flops)
  params_R, tokens_R = optimum(laws, study.cost, flops)
  return (
    {"flops": float(flops)}
    | _with_interval(study, "params", params, params_R)
    | _with_interval(study, "tokens", tokens, tokens_R)
    | _with_interval(
      study, "tokens_per_param", tokens / params, tokens_R / params_R
    )
    | _losses(
      study,
      best_loss(study.law, study.cost, flops),
      best_loss(laws, study.cost, flops),
    )
  )


def prediction(study, params, tokens, measured=None):
  """What one run should reach, and if what it `measured` is within."""
  laws = study.resampled.huber
  found = {
    "params": params,
    "tokens": tokens,
    "flops": float(study.cost.flops(params, tokens)),
  } | _losses(study, study.law.loss(params, tokens), laws.loss(params, tokens))
  if measured is not None:
    inside = found["run_low"] <= measured <= found["run_high"]
    found |= {"measured": measured, "inside": inside}
  return found


def _losses(study, loss, loss_R):
  """The law's loss, and the range of a single run's: law and noise."""
  run_R = loss_R * np.exp(study.resampled.noise(study.seed))
  low, high = interval(run_R, RUN_LEVEL)
  return _with_interval(study, "loss", loss, loss_R) | {
    "run_low": low,
    "run_high": high,
  }


def leave_budgets_out(study):
  """Fits without each budget and says what it then gets wrong there.

  Returns:
    For each Budget that leaves enough points: its flops, how many points it
    has, the root mean square relative error of their predicted losses, the
    mean of those errors (above 0 the law says too much), and whether it is the
    largest: then also how far from 0 chance puts that mean, one time in 20.
  """
  points, found = study.points, []
  for budget in study.budgets:
    kept_P = np.ones(len(points), bool)
    kept_P[budget.members] = False
    rest, held = points[kept_P], points[budget.members]
    if not checks.carries(rest):
      continue
    beyond = bool(budget.flops > rest.cost().max())
    error_RP = _errors_without(study, kept_P, held, _AGAIN if beyond else 0)
    noise = study.resampled.noise(study.seed).std() / np.sqrt(len(held))
    found.append(
      {
        "flops": budget.flops,
        "points": len(held),
        "error": float(np.sqrt(np.mean(error_RP[0] ** 2))),
        "mean": float(np.mean(error_RP[0])),
        "beyond": beyond,
        "chance": float(2 * np.hypot(error_RP[1:].mean(1).std(), noise))
        if beyond
        else None,
      }
    )
  return found


def _errors_without(study, kept_P, held, again):
  """Relative errors at `held` of fits to what is kept, [1 + again, points].

  The first fit is to all of it, the others to resamples.
  """
  rng = np.random.default_rng((study.seed, 2))
  drawn_RP = draw(study.points, kept_P, again, rng)
  weight_RP = np.concatenate([kept_P[None], drawn_RP])
  problem = huber.Problem(study.points)
  theta_RK = huber.refit(problem, study.fits[0].theta_K, weight_RP)
  law = problem.law(theta_RK)[:, None]
  return law.loss(held.params, held.tokens) / held.loss - 1


def speed_up(slow, fast, flops):
  """How much less compute `fast` needs for the best loss of `slow`.

  Both sides are at their own optimum. Their resamples are independent, so
  pairs of them give the interval.
  """
  loss = best_loss(slow.law, slow.cost, flops)
  needed = flops_for(fast.law, fast.cost, loss)
  laws, others = slow.resampled.huber, fast.resampled.huber
  count = min(len(laws.E), len(others.E))
  loss_R = best_loss(laws, slow.cost, flops)[:count]
  needed_R = flops_for(others[:count], fast.cost, loss_R)
  return {
    "flops": float(flops),
    "loss": float(loss),
    "needed": float(needed),
  } | _with_interval(slow, "speed_up", flops / needed, flops / needed_R)


def report_budgets(study, asked=()):
  """Budgets to tell of: the points', ten times the largest, those asked for."""
  own = [b.flops for b in study.budgets if len(b.members) >= isoflop.FEWEST]
  largest = study.points.cost().max()
  if not 2 <= len(own) <= 8:
    own = np.geomspace(study.points.cost().min(), largest, 4)
  return sorted({*map(float, own), float(10 * largest), *map(float, asked)})
