"""Intervals by fitting again to points drawn with replacement.

Each resample starts from the fit and from two neighbours of it, and keeps the
lowest. An interval at 95 % is the middle 95 % of the resamples and a little
more: of R resamples the share beyond an end is known only up to its binomial
error, so the ends move out by two standard errors of it.

Dimension key: R resamples, P points, K parameters, J starts.
"""

import dataclasses

import numpy as np

from eartalk_jax.scaling import huber, varpro
from eartalk_jax.scaling.isoflop import tells_apart
from eartalk_jax.scaling.law import NAMES, Law

_CONSTANTS = 5
# Starts of a resample: what is added to (a, b, e, alpha, beta) of the fit.
_NEIGHBOURS_JK = np.array(
  [[0, 0, 0, 0, 0], [0, 0, -0.1, -0.08, 0.08], [0, 0, 0.1, 0.08, -0.08]]
)
_AT_ONCE = 30_000  # weights of points that are worked on together


@dataclasses.dataclass(frozen=True)
class Resampled:
  """Laws of the resamples by both fits, and what the points missed the fit by.

  Attributes:
    huber: a Law of R numbers each.
    varpro: likewise.
    miss_P: log loss minus the fitted log loss.
    converged: share of the resamples whose fits converged.
  """

  huber: Law
  varpro: Law
  miss_P: np.ndarray
  converged: float

  def noise(self, seed):
    """For each resample, by how much one run misses the law, as a logarithm."""
    points = len(self.miss_P)
    wide = np.sqrt(points / max(points - _CONSTANTS, 1))
    drawn = np.random.default_rng((seed, 1)).choice(
      self.miss_P, len(self.huber.E)
    )
    return wide * drawn


def interval(values_R, level):
  """(low, high) of values of the resamples, see above; NaN without any."""
  ordered = np.sort(values_R[~np.isnan(values_R)])
  if not len(ordered):
    return np.nan, np.nan
  tail = (1 - level) / 2
  tail -= 2 * np.sqrt(tail * (1 - tail) / len(ordered))
  # Order statistics: between two of them there is infinity to stumble over.
  last = len(ordered) - 1
  k = int(last * max(tail, 0))
  return float(ordered[k]), float(ordered[last - k])


def draw(points, kept_P, count, rng):
  """How often each point counts in each of `count` resamples, [R P].

  A resample that lost too many levels cannot carry a law: its fit would stay
  where it began, as if there were no doubt. Another one is drawn instead.

  Args:
    points: Points.
    kept_P: bool; only these are drawn, and can carry a law.
    count: R.
    rng: numpy's generator.
  """
  size, drawn, missing = kept_P.sum(), [], count
  while missing:
    weight_RP = rng.multinomial(size, kept_P / size, missing).astype(float)
    drawn.append(weight_RP[tells_apart(points, weight_RP)])
    missing -= len(drawn[-1])
  return np.concatenate([np.empty((0, len(points))), *drawn])


def resample(points, fits, count, seed, advance=lambda n: None):
  """Fits `count` resamples of points.

  Args:
    points: Points.
    fits: (huber.Fit, varpro.Fit) of all points.
    count: how many resamples.
    seed: of the drawing.
    advance: called with the number of resamples done, now and then.

  Returns:
    Resampled.
  """
  rng = np.random.default_rng(seed)
  size = len(points)
  weight_RP = draw(points, np.ones(size, bool), count, rng)
  problems = huber.Problem(points), varpro.Problem(points)
  theta_K, exponents_X = fits[0].theta_K, fits[1].exponents_X
  chunk = max(_AT_ONCE // size, 1)
  laws, converged = ([], []), []
  for first in range(0, count, chunk):
    some_RP = weight_RP[first : first + chunk]
    theta_RK, sure = _warm(problems[0], theta_K, some_RP)
    laws[0].append(problems[0].law(theta_RK))
    start_RX = np.repeat(exponents_X[None], len(some_RP), 0)
    law, _, _, sure_too = varpro.solve(problems[1], start_RX, some_RP)
    laws[1].append(law)
    converged.append(sure & sure_too)
    advance(len(some_RP))
  fitted_P = np.log(fits[0].law.loss(points.params, points.tokens))
  return Resampled(
    _joined(laws[0]),
    _joined(laws[1]),
    np.log(points.loss) - fitted_P,
    float(np.concatenate(converged).mean()),
  )


def _warm(problem, theta_K, weight_RP):
  """The best of the neighbouring starts for each resample."""
  count = len(_NEIGHBOURS_JK)
  theta_JRK = np.repeat(
    (theta_K + _NEIGHBOURS_JK)[:, None], len(weight_RP), axis=1
  )
  theta, value, converged = huber.solve(
    problem,
    theta_JRK.reshape(-1, len(theta_K)),
    np.tile(weight_RP, (count, 1)),
  )
  best_R = value.reshape(count, -1).argmin(0)
  pick = best_R, np.arange(len(weight_RP))
  return (
    theta.reshape(theta_JRK.shape)[pick],
    converged.reshape(count, -1)[pick],
  )


def _joined(laws):
  return Law(*(np.concatenate([getattr(x, k) for x in laws]) for k in NAMES))
