"""Points that bend the law: far from the others, and off without them.

A point's leverage is its diagonal of the hat matrix of the linearised fit; on
average it is 5 over the number of points. A point with more than twice that is
held against the fit to the others. Gross ones are named and set aside, and the
rest is judged again, since such points hide one another.

Dimension key: R candidates, P points, K parameters.
"""

import dataclasses

import numpy as np

from eartalk_jax.scaling import huber
from eartalk_jax.scaling.isoflop import tells_apart

# Robust standard deviations. The Huber loss bears with a miss of a few; this
# one tells the five points that a known replication left out from the rest.
GROSS = 11.0
_HIGH = 2.0  # times the average leverage
_LEAST = 1e-6  # a miss that no one minds, in log loss


@dataclasses.dataclass(frozen=True)
class Leverage:
  """A point of high leverage.

  Attributes:
    index: of the point.
    leverage: its diagonal of the hat matrix.
    miss: its log loss minus that of the fit to the others.
    deviations: the miss in robust standard deviations of the others.
    shift: what leaving it out adds to (alpha, beta).
    gross: whether it is named.
  """

  index: int
  leverage: float
  miss: float
  deviations: float
  shift: tuple
  gross: bool


def high_leverage(points, fit):
  """The points of high leverage, gross ones first, then by leverage x miss."""
  problem = huber.Problem(points)
  kept_P = np.ones(len(points), bool)
  found = {}
  theta_K = fit.theta_K
  while True:
    now = _judge(points, problem, theta_K, kept_P)
    found |= {point.index: point for point in now}
    gross = [point.index for point in now if point.gross]
    if not gross:
      break
    kept_P[gross] = False
    theta_K = huber.refit(problem, theta_K, kept_P[None])[0]
    found = {i: point for i, point in found.items() if point.gross}
  return sorted(
    found.values(),
    key=lambda p: (-p.gross, -p.leverage * abs(p.deviations)),
  )


def _judge(points, problem, theta_K, kept_P):
  """Leverage of every kept point above the usual.

  A point without which there would be no law cannot be held against it.
  """
  share_SRP = problem.fitted(theta_K[None])[1]
  jac_PK = problem.jacobian(share_SRP)[0] * kept_P[:, None]
  basis_PK = np.linalg.qr(jac_PK)[0]
  leverage_P = (basis_PK**2).sum(1)
  candidates = np.flatnonzero(leverage_P > _HIGH * 5 / kept_P.sum())
  without_RP = np.repeat(kept_P[None], len(candidates), 0)
  without_RP[np.arange(len(candidates)), candidates] = False
  law_R = tells_apart(points, without_RP)
  candidates, without_RP = candidates[law_R], without_RP[law_R]
  if not len(candidates):
    return []
  theta_RK = huber.refit(problem, theta_K, without_RP)
  miss_RP = problem.y - problem.fitted(theta_RK)[0]
  found = []
  for row, i in enumerate(candidates):
    spread = 1.4826 * np.median(np.abs(miss_RP[row, without_RP[row]]))
    deviations = miss_RP[row, i] / max(spread, _LEAST)
    found.append(
      Leverage(
        int(i),
        float(leverage_P[i]),
        float(miss_RP[row, i]),
        float(deviations),
        tuple(map(float, theta_RK[row, 3:] - theta_K[3:])),
        bool(abs(deviations) > GROSS),
      )
    )
  return found
