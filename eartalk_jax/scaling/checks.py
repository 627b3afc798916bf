"""When a law must not be fitted or believed: refusals and warnings."""

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.scaling.bootstrap import interval
from eartalk_jax.scaling.isoflop import (
  FEWEST,
  FEWEST_LEVELS,
  WINDOW,
  budgets_of,
  levels,
  tells_apart,
)
from eartalk_jax.scaling.law import optimum

FEWEST_POINTS = 10  # two for each constant
_AGREE = 1e-6  # fits that differ by less agree, however narrow the intervals
_APART = 0.05  # spread of log tokens that log params do not explain
_FAR = 100  # times the largest budget
_BENT = 0.005  # of the loss: a smaller miss of the largest budget is no matter


def carries(points):
  """Whether there are points and levels enough for a law."""
  one_RP = np.ones((1, len(points)))
  return len(points) >= FEWEST_POINTS and tells_apart(points, one_RP)[0]


def refuse_unfit(points):
  """Raises a UserError if no law can be told from these points.

  Raises:
    UserError: too few points, budgets, sizes or token counts, sizes and tokens
      that rise together, or no minimum inside the sizes of any budget.
  """
  count = len(points)
  if count < FEWEST_POINTS:
    raise UserError(
      f"only {count} points to fit: the law has 5 constants; train at least "
      f"{FEWEST_POINTS} cells"
    )
  compute = levels(points.cost())
  if len(compute) < FEWEST_LEVELS:
    told = ", ".join(f"{points.cost()[m].mean():.3g}" for m in compute)
    raise UserError(
      f"all points lie at {len(compute)} budget(s) ({told} FLOPs); how loss "
      f"falls with compute needs at least {FEWEST_LEVELS}"
    )
  if not carries(points):
    raise UserError(
      f"{_told('params', points.params)} and {_told('tokens', points.tokens)}: "
      f"a law needs at least {FEWEST_LEVELS} of each, over "
      f"{WINDOW - 1:.0%} apart, since at two any E fits as well as any other; "
      "train cells at more of them"
    )
  n, d = np.log(points.params), np.log(points.tokens)
  if min(np.ptp(n), np.ptp(d)) < _APART or _unexplained(n, d) < _APART:
    raise UserError(
      "params and tokens do not vary apart from one another, so their shares "
      "in the loss cannot be told: train several sizes at each budget"
    )
  budgets = budgets_of(points)
  if budgets and not any(b.inside for b in budgets):
    ends = {_lowest_end(points, b) for b in budgets}
    side = f"the {ends.pop()}" if len(ends) == 1 else "an end"
    raise UserError(
      f"no interior minimum: at each of {len(budgets)} budgets the lowest loss "
      f"is at {side} of the sizes, so all points may lie on one side of the "
      "optimum; add sizes beyond it"
    )


def _told(name, values):
  """ "2 levels of tokens (1e+06, 2e+07)"."""
  found = levels(values)
  each = ", ".join(f"{values[members].mean():.3g}" for members in found[:4])
  more = ", ..." if len(found) > 4 else ""
  return f"{len(found)} level(s) of {name} ({each}{more})"


def _unexplained(n, d):
  """Standard deviation of d about its line over n."""
  return np.std(d - np.polyval(np.polyfit(n, d, 1), n))


def _lowest_end(points, budget):
  sizes = points.params[budget.members]
  best = sizes[points.loss[budget.members].argmin()]
  return "smallest" if best == sizes.min() else "largest"


def refuse_one_side(points, law, cost):
  """Raises a UserError if the law's optimum has all points on one side.

  Raises:
    UserError: every point is too small, or every one too large, for its budget.
  """
  best = optimum(law, cost, points.cost())[0]
  for side, flags in (
    ("smaller", points.params < best),
    ("larger", points.params > best),
  ):
    if flags.all():
      raise UserError(
        f"all points lie on one side of the minimum: every size is {side} than "
        "the optimum that the law would give its budget; add sizes beyond it"
      )


def refuse_disagreement(constants, others):
  """Raises a UserError if intervals of the two fits do not meet.

  Args:
    constants: {name: value, name_low: ..., name_high: ...} of approach 3.
    others: the same of variable projection.

  Raises:
    UserError: for E, alpha or beta.
  """
  for name in ("E", "alpha", "beta"):
    low, high = constants[f"{name}_low"], constants[f"{name}_high"]
    low2, high2 = others[f"{name}_low"], others[f"{name}_high"]
    slack = _AGREE * max(abs(low), abs(high), 1e-3)
    if low > high2 + slack or low2 > high + slack:
      raise UserError(
        f"the two fits disagree about {name}: {low:.4g} to {high:.4g} by "
        f"robust fit, {low2:.4g} to {high2:.4g} by variable projection. "
        "Some points do not follow one law: look at the highest and lowest "
        "losses, and leave out what diverged (--without LINES)"
      )


def warnings_of(points, fits, resampled, level, cost, leverages, flops):
  """What to know before believing a law, as sentences.

  Args:
    points: Points.
    fits: (huber.Fit, varpro.Fit).
    resampled: bootstrap.Resampled.
    level: of intervals.
    cost: Cost.
    leverages: of leverage.high_leverage.
    flops: budgets to extrapolate to.
  """
  robust, projected = fits
  found = []
  for fit, name in ((robust, "robust fit"), (projected, "variable projection")):
    if not fit.converged:
      found.append(f"the {name} did not converge")
  if resampled.converged < 0.95:
    found.append(
      f"only {resampled.converged:.0%} of the resampled fits converged: the "
      "intervals are doubtful"
    )
  if robust.reached < 0.5:
    found.append(
      f"only {robust.reached:.0%} of the starts reached the lowest minimum: "
      "there are others"
    )
  if min(robust.law.E, projected.law.E) < 0.01 * points.loss.min():
    found.append(
      "the points do not show the loss that remains at infinite scale: a fit "
      "puts E at zero"
    )
  gross = [points.name(p.index) for p in leverages if p.gross]
  if gross:
    found.append(
      f"{len(gross)} points of high leverage miss the law of the others by far "
      f"and bend it: {'; '.join(gross)}. If these runs went wrong, leave them "
      "out (--without LINES)"
    )
  found += _differences(fits, resampled, level)
  found += _edges(points)
  if cost.deviation > 0.1:
    found.append(
      f"FLOPs follow no power of size and tokens: off by {cost.deviation:.0%} "
      "at worst, so are the budgets of the optimum"
    )
  largest = points.cost().max()
  if max(flops, default=0) > _FAR * largest:
    found.append(
      f"{max(flops):.3g} FLOPs is over {_FAR} times the largest run "
      f"({largest:.3g}): intervals say what the law allows, not whether it "
      "still holds there"
    )
  return found


def bends(left_out):
  """A warning about a largest budget that the law of the others misses.

  Args:
    left_out: of fitting.leave_budgets_out.
  """
  for row in left_out:
    if row["beyond"] and abs(row["mean"]) > max(_BENT, row["chance"]):
      way = "high" if row["mean"] > 0 else "low"
      yield (
        "the points bend away from the law: without the largest budget "
        f"({row['flops']:.3g} FLOPs) its losses are predicted "
        f"{abs(row['mean']):.1%} too {way} on average, and chance explains "
        f"{row['chance']:.1%}. Expect predictions beyond it to be too {way}, "
        "and their intervals too narrow"
      )


def _differences(fits, resampled, level):
  """A warning about constants that each fit puts outside the other's range."""
  robust, projected = (fit.law for fit in fits)
  apart = []
  for name in ("E", "alpha", "beta"):
    value, other = getattr(robust, name), getattr(projected, name)
    low, high = interval(getattr(resampled.varpro, name), level)
    low2, high2 = interval(getattr(resampled.huber, name), level)
    slack = _AGREE * max(abs(value), 1e-3)
    if not (low - slack <= value <= high + slack) or not (
      low2 - slack <= other <= high2 + slack
    ):
      apart.append(f"{name} {value:.4g} and {other:.4g}")
  if not apart:
    return []
  return [
    "the robust fit and variable projection differ by more than an interval: "
    + ", ".join(apart)
  ]


def _edges(points):
  """A warning about budgets whose lowest loss is at an end of the sizes."""
  open_ended = [
    f"{b.flops:.3g}"
    for b in budgets_of(points)
    if not b.inside and len(np.unique(points.params[b.members])) >= FEWEST
  ]
  if not open_ended:
    return []
  more = " ..." if len(open_ended) > 4 else ""
  return [
    f"no interior minimum at {', '.join(open_ended[:4])}{more} FLOPs: the "
    "lowest loss is at an end of the sizes"
  ]
