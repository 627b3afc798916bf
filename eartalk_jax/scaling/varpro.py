"""Variable projection: the law by least squares, independent of `huber`.

For fixed exponents the law is linear in E, A and B, so those three follow from
one QR decomposition and the search is over (alpha, beta) alone. Minimised is
the sum of squares of (L_fit - L) / L: no logarithms, no Huber loss, no shared
code. Steps are Levenberg's on the projected residual, with the derivative after
Kaufman.

Dimension key: R problems, P points, K = 3 columns, X = 2 exponents.
"""

import dataclasses

import numpy as np

from eartalk_jax.scaling.law import Law

_STEP = 1e-11
_PROMISE = 1e-14
_STEPS = 200
_RANGE = (1e-3, 10.0)


@dataclasses.dataclass(frozen=True)
class Fit:
  """A law fitted by variable projection.

  Attributes:
    law: the Law.
    exponents_X: alpha and beta.
    objective: sum of squared relative misses.
    converged: whether the last step was too short to matter.
  """

  law: Law
  exponents_X: np.ndarray
  objective: float
  converged: bool


class Problem:
  """Points in units of their geometric mean."""

  def __init__(self, points):
    n, d = np.log(points.params), np.log(points.tokens)
    self.n0, self.d0, self.loss = n.mean(), d.mean(), points.loss
    self.n, self.d = n - self.n0, d - self.d0

  def project(self, x_RX, root_RP):
    """The linear half: (columns, their basis, coefficients, residual)."""
    alpha, beta = x_RX.T[..., None]
    ones_RP = np.ones_like(root_RP)
    columns = [ones_RP, np.exp(-alpha * self.n), np.exp(-beta * self.d)]
    scale_RP = root_RP / self.loss
    phi_RPK = np.stack(columns, -1) * scale_RP[..., None]
    q_RPK, r_RKK = np.linalg.qr(phi_RPK)
    along_RK = np.einsum("rpk,rp->rk", q_RPK, root_RP)
    c_RK = np.linalg.solve(r_RKK, along_RK[..., None])[..., 0]
    miss_RP = np.einsum("rpk,rk->rp", q_RPK, along_RK) - root_RP
    return phi_RPK, q_RPK, c_RK, miss_RP

  def law(self, x_RX, c_RK):
    """The Laws of exponents and coefficients."""
    alpha, beta = x_RX.T
    e, a, b = c_RK.T
    return Law(
      e,
      a * np.exp(alpha * self.n0),
      b * np.exp(beta * self.d0),
      alpha,
      beta,
    )


def solve(problem, x_RX, weight_RP):
  """Minimises from each start; returns (Law of R, x_RX, value_R, converged_R).

  Args:
    problem: the points.
    x_RX: starts.
    weight_RP: how often each point counts in each problem.
  """
  x_RX, root_RP = x_RX.copy(), np.sqrt(weight_RP)
  value_R = (problem.project(x_RX, root_RP)[3] ** 2).sum(1)
  damping_R = np.full(len(x_RX), 1e-3)
  converged_R = np.zeros(len(x_RX), bool)
  active_R = ~converged_R
  for _ in range(_STEPS):
    i = np.flatnonzero(active_R)
    if not len(i):
      break
    step_RX, promise_R = _step(problem, x_RX[i], root_RP[i], damping_R[i])
    new_RX = (x_RX[i] + step_RX).clip(*_RANGE)
    step_RX = new_RX - x_RX[i]
    new_R = (problem.project(new_RX, root_RP[i])[3] ** 2).sum(1)
    short_R = (np.abs(step_RX).max(1) < _STEP) & (damping_R[i] <= 1)
    done_R = short_R | (promise_R <= _PROMISE * value_R[i])
    better_R = new_R <= value_R[i]
    x_RX[i[better_R]] = new_RX[better_R]
    value_R[i[better_R]] = new_R[better_R]
    worse = damping_R[i].clip(1e-8) * 10
    damping_R[i] = np.where(better_R, damping_R[i] / 10, worse)
    converged_R[i] = done_R
    active_R[i] = ~done_R & (damping_R[i] < 1e12)
  c_RK = problem.project(x_RX, root_RP)[2]
  return problem.law(x_RX, c_RK), x_RX, value_R, converged_R


def _step(problem, x_RX, root_RP, damping_R):
  """A step and the fall of the objective that its slope promises."""
  phi_RPK, q_RPK, c_RK, miss_RP = problem.project(x_RX, root_RP)
  turn_RPX = -np.stack(
    [
      problem.n * phi_RPK[..., 1] * c_RK[:, 1, None],
      problem.d * phi_RPK[..., 2] * c_RK[:, 2, None],
    ],
    -1,
  )
  # What the columns cannot follow.
  inside_RKX = np.matmul(q_RPK.swapaxes(1, 2), turn_RPX)
  jac_RPX = turn_RPX - np.matmul(q_RPK, inside_RKX)
  grad_RX = np.einsum("rpx,rp->rx", jac_RPX, miss_RP)
  # An exponent at its bound stays there if it is pushed out.
  stuck_RX = (x_RX <= _RANGE[0]) & (grad_RX > 0)
  stuck_RX |= (x_RX >= _RANGE[1]) & (grad_RX < 0)
  grad_RX[stuck_RX] = 0
  jac_RPX *= ~stuck_RX[:, None]
  hess_RXX = np.matmul(jac_RPX.swapaxes(1, 2), jac_RPX)
  size_RX = np.einsum("rxx->rx", hess_RXX).clip(1e-300)
  hess_RXX = (
    hess_RXX + np.eye(2) * ((damping_R[:, None] * size_RX + 1e-300)[:, None, :])
  )
  step_RX = -np.linalg.solve(hess_RXX, grad_RX[..., None])[..., 0]
  step_RX = step_RX.clip(-0.3, 0.3)
  return step_RX, -2 * (grad_RX * step_RX).sum(1)


def fit_varpro(points):
  """The best fit from a grid of exponents."""
  problem = Problem(points)
  side = np.geomspace(0.03, 3, 12)
  x_RX = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
  weight_RP = np.ones((len(x_RX), len(problem.loss)))
  laws, x_RX, value_R, converged_R = solve(problem, x_RX, weight_RP)
  best = np.lexsort((~converged_R, value_R))[0]
  return Fit(
    laws[best],
    x_RX[best],
    float(value_R[best]),
    bool(converged_R[best]),
  )
