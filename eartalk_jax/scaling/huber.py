"""Hoffmann's third approach: the law by a robust fit to logarithms of losses.

Minimised is the SUM over points of Huber(log L_fit - log L), delta 1e-3, with

  log L_fit = logsumexp(a - alpha log N, b - beta log D, e).

The mean in place of the sum, under an optimiser whose tolerance is absolute,
stops far from the minimum. Here nothing depends on the scale of the objective:
damped Newton steps with analytic derivatives stop when a step changes no
logarithm and no exponent any more, or promises nothing against the objective.
Many problems, be they starts or resamples, are solved side by side.

Dimension key: R problems, P points, K parameters (a, b, e, alpha, beta),
S terms of the sum.
"""

import dataclasses
import itertools

import numpy as np

from eartalk_jax.scaling.law import Law

DELTA = 1e-3
_STEP = 1e-10  # no parameter moves by more: done
_PROMISE = 1e-14  # of the objective that a step would win: done
_STEPS = 1000
# A term this far below the smallest loss, in logarithms, is nothing.
_NOTHING = -14.0
_MOST = 5.0
_EXPONENTS = (1e-3, 10.0)
_STARTS = (0.05, 0.2, 0.5, 1.0, 2.0)


@dataclasses.dataclass(frozen=True)
class Fit:
  """A law fitted to points.

  Attributes:
    law: the Law.
    theta_K: as the solver sees it, about the points' geometric mean.
    objective: at the minimum.
    converged: whether the stopping rule held.
    reached: share of the starts that ended at this minimum.
  """

  law: Law
  theta_K: np.ndarray
  objective: float
  converged: bool
  reached: float


class Problem:
  """Logarithms of points, about their mean, so that steps are well scaled."""

  def __init__(self, points):
    n, d = np.log(points.params), np.log(points.tokens)
    self.n0, self.d0 = n.mean(), d.mean()
    self.n, self.d, self.y = n - self.n0, d - self.d0, np.log(points.loss)
    # Here exponentials neither vanish nor overflow.
    least, most = self.y.min() + _NOTHING, self.y.max() + _MOST
    self.low_K = np.array([least] * 3 + [_EXPONENTS[0]] * 2)
    self.high_K = np.array([most] * 3 + [_EXPONENTS[1]] * 2)

  def law(self, theta):
    """The Law of parameters whose last axis is K."""
    a, b, e, alpha, beta = np.moveaxis(theta, -1, 0)
    return Law(
      np.exp(e),
      np.exp(a + alpha * self.n0),
      np.exp(b + beta * self.d0),
      alpha,
      beta,
    )

  def fitted(self, theta_RK):
    """Logarithms of losses and the share of each term in the loss."""
    a, b, e, alpha, beta = theta_RK.T[..., None]
    z_SRP = np.stack(
      [a - alpha * self.n, b - beta * self.d, e + np.zeros_like(self.n)]
    )
    top_RP = z_SRP.max(0)
    share_SRP = np.exp(z_SRP - top_RP)
    sum_RP = share_SRP.sum(0)
    return top_RP + np.log(sum_RP), share_SRP / sum_RP

  def jacobian(self, share_SRP):
    """Derivatives of the fitted logarithms."""
    a, b, e = share_SRP
    return np.stack([a, b, e, -a * self.n, -b * self.d], -1)

  def objective(self, theta_RK, weight_RP, delta=DELTA):
    """The weighted sum of Huber losses."""
    r_RP = self.fitted(theta_RK)[0] - self.y
    return (weight_RP * huber(r_RP, delta)).sum(1)


def huber(r, delta=DELTA):
  """Half the square inside delta, a line outside."""
  size = np.abs(r)
  return np.where(size <= delta, r * r / 2, delta * (size - delta / 2))


def derivatives(problem, theta_RK, weight_RP, delta=DELTA):
  """Gradient, Hessian and a positive curvature of the objective.

  The last is that of the parabolas that touch each Huber loss from above.
  """
  fit_RP, share_SRP = problem.fitted(theta_RK)
  jac_RPK = problem.jacobian(share_SRP)
  r_RP = fit_RP - problem.y
  pull_RP = weight_RP * r_RP.clip(-delta, delta)
  grad_RK = np.einsum("rp,rpk->rk", pull_RP, jac_RPK)
  inside_RP = np.abs(r_RP) <= delta
  hess_RKK = _outer(jac_RPK, weight_RP * inside_RP - pull_RP)
  for term, (level, slope, x) in enumerate(
    ((0, 3, problem.n), (1, 4, problem.d), (2, None, None))
  ):
    pull = pull_RP * share_SRP[term]
    hess_RKK[:, level, level] += pull.sum(1)
    if slope is not None:
      across = (pull * x).sum(1)
      hess_RKK[:, level, slope] -= across
      hess_RKK[:, slope, level] -= across
      hess_RKK[:, slope, slope] += (pull * x * x).sum(1)
  touching_RP = weight_RP * delta / np.maximum(np.abs(r_RP), delta)
  return grad_RK, hess_RKK, _outer(jac_RPK, touching_RP)


def _outer(jac_RPK, weight_RP):
  return np.matmul((jac_RPK * weight_RP[..., None]).swapaxes(1, 2), jac_RPK)


def _newton_step(grad_RK, hess_RKK, curve_RKK, damping_R):
  """A descending step of at most 2 in any parameter."""
  size_RK = np.sqrt(np.einsum("rkk->rk", curve_RKK).clip(1e-300))
  scale_RKK = size_RK[:, :, None] * size_RK[:, None, :]
  damped_RKK = hess_RKK + damping_R[:, None, None] * curve_RKK
  values_RK, vectors_RKK = np.linalg.eigh(damped_RKK / scale_RKK)
  along_RK = np.einsum("rkj,rk->rj", vectors_RKK, grad_RK / size_RK)
  along_RK /= np.abs(values_RK).clip(1e-12)
  step_RK = -np.einsum("rkj,rj->rk", vectors_RKK, along_RK) / size_RK
  longest_R = np.abs(step_RK).max(1)
  return step_RK * np.minimum(1, 2 / longest_R.clip(1e-300))[:, None]


def _without(matrix_RKK, stuck_RK):
  """The matrix with unit rows and columns for parameters held at a bound."""
  free_RK = ~stuck_RK
  kept_RKK = matrix_RKK * (free_RK[:, :, None] & free_RK[:, None, :])
  return kept_RKK + np.eye(stuck_RK.shape[1]) * stuck_RK[:, None]


def solve(problem, theta_RK, weight_RP, delta=DELTA, steps=_STEPS):
  """Minimises from each start.

  Args:
    problem: the points.
    theta_RK: starts.
    weight_RP: how often each point counts in each problem.
    delta: of the Huber loss.
    steps: at most so many.

  Returns:
    theta_RK, objective_R and converged_R.
  """
  theta_RK = theta_RK.clip(problem.low_K, problem.high_K)
  value_R = problem.objective(theta_RK, weight_RP, delta)
  damping_R = np.ones(len(theta_RK))
  converged_R = np.zeros(len(theta_RK), bool)
  active_R = ~converged_R
  for _ in range(steps):
    i = np.flatnonzero(active_R)
    if not len(i):
      break
    old_RK, weight = theta_RK[i], weight_RP[i]
    grad_RK, hess_RKK, curve_RKK = derivatives(problem, old_RK, weight, delta)
    stuck_RK = (old_RK <= problem.low_K) & (grad_RK > 0)
    stuck_RK |= (old_RK >= problem.high_K) & (grad_RK < 0)
    step_RK = _newton_step(
      np.where(stuck_RK, 0, grad_RK),
      _without(hess_RKK, stuck_RK),
      _without(curve_RKK, stuck_RK),
      damping_R[i],
    )
    new_RK = (old_RK + step_RK).clip(problem.low_K, problem.high_K)
    step_RK = new_RK - old_RK
    new_R = problem.objective(new_RK, weight, delta)
    # A heavily damped step is short for no good reason.
    short_R = (np.abs(step_RK).max(1) < _STEP) & (damping_R[i] <= 1)
    promise_R = -(grad_RK * step_RK).sum(1)
    done_R = short_R | (np.abs(promise_R) <= _PROMISE * value_R[i])
    better_R = new_R <= value_R[i]
    theta_RK[i[better_R]] = new_RK[better_R]
    value_R[i[better_R]] = new_R[better_R]
    worse = damping_R[i].clip(1e-8) * 10
    damping_R[i] = np.where(better_R, damping_R[i] / 3, worse)
    converged_R[i] = done_R
    active_R[i] = ~done_R & (damping_R[i] < 1e12)
  return theta_RK, value_R, converged_R


def refit(problem, theta_K, weight_RP):
  """theta_RK of problems whose weights are others, from one fit."""
  start_RK = np.repeat(theta_K[None], len(weight_RP), axis=0)
  return solve(problem, start_RK, weight_RP.astype(float))[0]


def starts(problem):
  """A grid of starts: exponents, and shares of the terms in the lowest loss."""
  found = [
    [
      np.log((1 - floor) * share),
      np.log((1 - floor) * (1 - share)),
      np.log(floor),
      alpha,
      beta,
    ]
    for alpha, beta, floor, share in itertools.product(
      _STARTS, _STARTS, (0.1, 0.5, 0.9), (0.05, 0.3, 0.8)
    )
  ]
  lowest = problem.y.min()
  return np.array(found) + [lowest, lowest, lowest, 0, 0]


def fit_huber(points, delta=DELTA):
  """The best fit from a grid of starts.

  The first steps see a wide Huber loss, nearly a parabola, so that no start
  gets caught between two points.
  """
  problem = Problem(points)
  theta_RK = starts(problem)
  weight_RP = np.ones((len(theta_RK), len(problem.y)))
  for wide, steps in ((30 * delta, 30), (3 * delta, 20), (delta, _STEPS)):
    theta_RK, value_R, converged_R = solve(
      problem, theta_RK, weight_RP, wide, steps
    )
  best = np.lexsort((~converged_R, value_R))[0]
  reached = value_R <= value_R[best] * (1 + 1e-6) + 1e-20
  return Fit(
    problem.law(theta_RK[best]),
    theta_RK[best],
    float(value_R[best]),
    bool(converged_R[best]),
    float(reached.mean()),
  )
