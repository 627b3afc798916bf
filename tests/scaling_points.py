"""Points that follow a law which the test knows."""

import pathlib
import tempfile

import numpy as np

from eartalk_jax.scaling.law import Cost, Law, optimum
from eartalk_jax.scaling.points import read_points

CHINCHILLA = pathlib.Path(__file__).parent / "data" / "chinchilla_points.csv"
LAW = Law(0.8, 300.0, 400.0, 0.34, 0.28)
BUDGETS = np.geomspace(1e13, 1e15, 4)


def write(path, params, tokens, loss, **columns):
  """A CSV file of columns."""
  names = ["params", "tokens", "loss", *columns]
  rows = zip(params, tokens, loss, *columns.values(), strict=True)
  lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
  path.write_text("\n".join(lines) + "\n")
  return path


def points_of(params, tokens, loss, **flops):
  """The points of such a file."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "points.csv"
    return read_points(write(path, params, tokens, loss, **flops))[0]


def chinchilla(left_out):
  """The published points without the highest losses."""
  points, _, _ = read_points(CHINCHILLA)
  highest = points.line[np.argsort(points.loss)[len(points) - left_out :]]
  return read_points(CHINCHILLA, highest)[0]


def ladder(law=LAW, budgets=BUDGETS, sizes=7, reach=4.0, centre=1.0, cost=None):
  """(params, tokens) of an isoFLOP ladder around a law's optimum."""
  cost = cost or Cost()
  steps = centre * np.geomspace(1 / reach, reach, sizes)
  params = np.concatenate([optimum(law, cost, c)[0] * steps for c in budgets])
  return params, cost.tokens(params, np.repeat(budgets, sizes))


def study_points(law=LAW, noise=0.0, seed=0, **where):
  """Points of a ladder, with relative noise."""
  params, tokens = ladder(law, **where)
  loss = law.loss(params, tokens)
  loss *= np.exp(noise * np.random.default_rng(seed).normal(size=len(loss)))
  return points_of(params, tokens, loss)
