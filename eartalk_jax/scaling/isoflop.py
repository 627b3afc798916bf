"""Approaches 1 and 2: the best size straight from losses at equal compute.

Approach 2 lays a parabola through loss against log N at each budget and a line
through the vertices. The loss is no parabola, so even without noise the line
is off wherever alpha and beta differ; `bias` says by how much, on a fitted
law. Approach 1 takes, along compute, the size whose training curve is lowest.
Both check the fit of all points and do not replace it.
"""

import dataclasses

import numpy as np

from eartalk_jax.scaling.law import optimum, share_exponents

WINDOW = 1.2  # largest over smallest value within a level
FEWEST = 5  # sizes that a parabola needs to be more than a guess
# Of compute, params and tokens. A term of the law has a factor and an exponent,
# and E is left over: at two levels every E fits as well as any other.
FEWEST_LEVELS = 3


@dataclasses.dataclass(frozen=True)
class Budget:
  """Points that cost the same.

  Attributes:
    flops: geometric mean of what they cost.
    members: their indices.
    best: params at the vertex of the parabola; None without a minimum inside.
    curve: the parabola, as a function of log params; None with too few sizes.
    inside: whether the lowest loss is at neither end of the sizes.
  """

  flops: float
  members: np.ndarray
  best: float | None
  curve: np.polynomial.Polynomial | None
  inside: bool


@dataclasses.dataclass(frozen=True)
class Line:
  """Optimal params as factor x C^power, from several budgets."""

  factor: float
  power: float

  def params(self, flops):
    """Optimal parameters for a budget."""
    return self.factor * flops**self.power


def levels(values):
  """Indices of points of like value: the fullest window first, then the rest.

  Args:
    values: of the points; FLOPs, params or tokens.
  """
  left = np.argsort(values, kind="stable")
  found = []
  while len(left):
    c = values[left]
    ends = np.searchsorted(c, c * WINDOW, "right")
    first = int((ends - np.arange(len(c))).argmax())
    found.append(left[first : ends[first]])
    left = np.delete(left, np.s_[first : ends[first]])
  return sorted(found, key=lambda members: values[members[0]])


def tells_apart(points, weight_RP):
  """Which weightings of points have enough levels of params and of tokens.

  Args:
    points: Points.
    weight_RP: how often each point counts, 0 where it does not.

  Returns:
    [R] bool.
  """
  enough_R = np.ones(len(weight_RP), bool)
  for values in (points.params, points.tokens):
    there_RL = [weight_RP[:, m].any(axis=1) for m in levels(values)]
    enough_R &= np.sum(there_RL, axis=0) >= FEWEST_LEVELS
  return enough_R


def budgets_of(points):
  """The Budgets of points: every level of compute with at least 3 sizes."""
  flops = points.cost()
  return [
    _budget(points, flops, members)
    for members in levels(flops)
    if len(np.unique(points.params[members])) > 2
  ]


def _budget(points, flops, members):
  n, loss = np.log(points.params[members]), points.loss[members]
  lowest = n[loss.argmin()]
  best = curve = None
  if len(np.unique(n)) >= FEWEST:
    curve = np.polynomial.Polynomial.fit(n, loss, 2)
    slope = curve.deriv()
    vertex = slope.roots()[0]
    if slope.deriv()(vertex) > 0 and n.min() < vertex < n.max():
      best = float(np.exp(vertex))
  mean = float(np.exp(np.log(flops[members]).mean()))
  return Budget(mean, members, best, curve, bool(n.min() < lowest < n.max()))


def vertex_line(budgets):
  """Approach 2: the Line through the vertices; None with fewer than 2."""
  vertices = [(b.flops, b.best) for b in budgets if b.best]
  return _line(*zip(*vertices, strict=True)) if len(vertices) > 1 else None


def _line(flops, params):
  power, log_factor = np.polyfit(np.log(flops), np.log(params), 1)
  return Line(float(np.exp(log_factor)), float(power))


def bias(points, law, cost, flops):
  """What approach 2 gets wrong on a law without noise, at the points' places.

  Returns:
    Shares by which its optimal params and tokens for `flops` miss the law's,
    and by how much its exponent of params does; None if it finds no line.
  """
  exact = dataclasses.replace(
    points, loss=law.loss(points.params, points.tokens)
  )
  line = vertex_line(budgets_of(exact))
  if line is None:
    return None
  params, tokens = optimum(law, cost, flops)
  found = line.params(flops)
  return {
    "params": float(found / params - 1),
    "tokens": float(cost.tokens(found, flops) / tokens - 1),
    "exponent": float(line.power - share_exponents(law, cost)[0]),
  }


def envelope_line(points, steps=60):
  """Approach 1: the Line through the lowest of the training curves.

  A size with at least 4 numbers of tokens is a curve. Compute where the
  lowest curve is that of the smallest or largest size says nothing.

  Returns:
    A Line, or None with fewer than 4 curves or less than 2 sizes on top.
  """
  flops = points.cost()
  curves = []
  for size in np.unique(points.params):
    mine = np.flatnonzero(points.params == size)
    if len(mine) > 3:
      mine = mine[np.argsort(flops[mine])]
      curves.append((size, np.log(flops[mine]), np.log(points.loss[mine])))
  if len(curves) < 4:
    return None
  ends = np.array([[c[0], c[-1]] for _, c, _ in curves])
  grid = np.linspace(ends.min(), ends.max(), steps)
  loss = np.array(
    [np.interp(grid, c, y, left=np.inf, right=np.inf) for _, c, y in curves]
  )
  winner = loss.argmin(0)
  last = len(curves) - 1
  # Where a neighbour has no curve, the lowest may lie beyond it.
  sides = np.stack([(winner - 1).clip(0), (winner + 1).clip(max=last)])
  clear = np.isfinite(loss[sides, np.arange(steps)]).all(0)
  clear &= (winner > 0) & (winner < last)
  if len(np.unique(winner[clear])) < 2:
    return None
  sizes = np.array([size for size, _, _ in curves])
  return _line(np.exp(grid[clear]), sizes[winner[clear]])
