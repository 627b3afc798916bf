"""Both fits against published constants and surfaces that are known exactly."""

import numpy as np
import pytest
from scaling_points import LAW, chinchilla, ladder, points_of, study_points
from scipy import optimize

from eartalk_jax.scaling import huber, isoflop, varpro
from eartalk_jax.scaling.law import (
  NAMES,
  Cost,
  Law,
  best_loss,
  cost_of,
  flops_for,
  optimum,
  share_exponents,
)

PAIRS = ((0.34, 0.28), (0.62, 0.41), (0.15, 0.55))


@pytest.fixture(scope="module")
def published():
  return chinchilla(left_out=5)


def test_the_published_fit_is_reproduced(published):
  fit = huber.fit_huber(published)
  assert fit.converged
  assert abs(fit.objective - 1.01827e-3) < 1e-7
  for name, value in (
    ("E", 1.8172),
    ("A", 477.8),
    ("B", 2143),
    ("alpha", 0.3473),
    ("beta", 0.3672),
  ):
    assert getattr(fit.law, name) == pytest.approx(value, rel=1e-3), name


def test_objective_is_that_of_published_constants(published):
  # 4.121009e-3 and 1.231163e-3 were computed elsewhere, from the same points.
  for law, objective in (
    (Law(1.69, 406.4, 410.7, 0.34, 0.28), 4.121009e-3),
    (
      Law(*np.exp([0.5267228, 6.0073404, 6.0179186]), 0.33917084, 0.2849083),
      1.231163e-3,
    ),
  ):
    fitted = np.log(law.loss(published.params, published.tokens))
    total = huber.huber(fitted - np.log(published.loss)).sum()
    assert total == pytest.approx(objective, rel=1e-6)


def test_no_other_optimiser_gets_lower(published):
  problem, one = huber.Problem(published), np.ones((1, len(published)))
  fit = huber.fit_huber(published)
  found = optimize.minimize(
    lambda theta: problem.objective(theta[None], one)[0] * 1e3,
    fit.theta_K + 0.02,
    method="Nelder-Mead",
    options={"maxiter": 20_000, "xatol": 1e-9, "fatol": 1e-14},
  )
  assert found.fun / 1e3 >= fit.objective * (1 - 1e-9)
  np.testing.assert_allclose(found.x, fit.theta_K, atol=1e-3)


@pytest.mark.parametrize("delta", (1e-3, 0.05))
def test_derivatives_are_those_of_finite_differences(delta):
  problem = huber.Problem(study_points(noise=0.01))
  rng = np.random.default_rng(0)
  weight_RP = rng.integers(0, 3, (1, 28)).astype(float)
  theta_K = np.array([0.4, 0.3, -0.2, 0.3, 0.25])
  grad_RK, hess_RKK, _ = huber.derivatives(
    problem, theta_K[None], weight_RP, delta
  )
  for k in range(5):
    step = 1e-6 * np.eye(5)[k]
    ends = np.stack([theta_K + step, theta_K - step])
    weights = np.repeat(weight_RP, 2, 0)
    high, low = problem.objective(ends, weights, delta)
    assert (high - low) / 2e-6 == pytest.approx(grad_RK[0, k], rel=1e-5)
    slopes = huber.derivatives(problem, ends, weights, delta)[0]
    np.testing.assert_allclose(
      (slopes[0] - slopes[1]) / 2e-6, hess_RKK[0, k], rtol=1e-4, atol=1e-8
    )


@pytest.mark.parametrize(("alpha", "beta"), PAIRS)
@pytest.mark.parametrize("fit", (huber.fit_huber, varpro.fit_varpro))
def test_surfaces_without_noise_are_recovered(alpha, beta, fit):
  # Terms of like size in the middle of the ladder, as in real studies.
  law = Law(0.5, 0.6 * 3e5**alpha, 0.8 * 4e7**beta, alpha, beta)
  found = fit(study_points(law))
  assert found.converged
  for name in NAMES:
    assert getattr(found.law, name) == pytest.approx(
      getattr(law, name), rel=1e-4
    )


def test_units_of_the_loss_change_nothing_but_the_loss(published):
  scaled = points_of(published.params, published.tokens, published.loss * 1e-3)
  fit, small = huber.fit_huber(published), huber.fit_huber(scaled)
  assert small.converged
  assert small.objective == pytest.approx(fit.objective, rel=1e-9)
  assert small.law.alpha == pytest.approx(fit.law.alpha, rel=1e-7)
  assert pytest.approx(fit.law.E / 1e3, rel=1e-7) == small.law.E


def test_a_fit_that_is_cut_short_says_so(published):
  problem = huber.Problem(published)
  start_RK = huber.starts(problem)[:20]
  weight_RP = np.ones((20, len(published)))
  _, _, converged_R = huber.solve(problem, start_RK, weight_RP, steps=3)
  assert not converged_R.any()


@pytest.mark.parametrize("cost", (Cost(), Cost(factor=90.0, power=0.8)))
def test_the_optimum_is_the_lowest_loss_that_a_budget_buys(cost):
  flops = 3e14
  params, tokens = optimum(LAW, cost, flops)
  assert cost.flops(params, tokens) == pytest.approx(flops)
  sizes = params * np.geomspace(0.5, 2, 2001)
  losses = LAW.loss(sizes, cost.tokens(sizes, flops))
  assert sizes[losses.argmin()] == pytest.approx(params, rel=1e-3)
  a, b = share_exponents(LAW, cost)
  more = optimum(LAW, cost, 10 * flops)
  assert more[0] / params == pytest.approx(10**a)
  assert more[1] / tokens == pytest.approx(10**b)


@pytest.mark.parametrize("cost", (Cost(), Cost(factor=90.0, power=0.8)))
def test_compute_for_a_loss_inverts_the_best_loss(cost):
  assert flops_for(LAW, cost, best_loss(LAW, cost, 3e14)) == pytest.approx(3e14)
  assert flops_for(LAW, cost, LAW.E) == np.inf


def test_cost_follows_the_column_flops():
  params, tokens = ladder()
  truth = Cost(factor=70.0, power=0.9)
  loss = LAW.loss(params, tokens)
  points = points_of(params, tokens, loss, flops=truth.flops(params, tokens))
  cost = cost_of(points)
  assert cost.factor == pytest.approx(70)
  assert cost.power == pytest.approx(0.9)
  assert cost.deviation < 1e-9
  assert cost_of(points_of(params, tokens, loss)).factor == 6


@pytest.mark.parametrize(
  ("alpha", "beta", "reach", "percent"),
  (
    (0.31, 0.31, 8, 0.0),
    (0.34, 0.28, 2, -0.3269),
    (0.34, 0.28, 8, -2.9029),
    (0.465, 0.155, 16, -23.1163),
  ),
)
def test_bias_of_approach_2_is_the_published_one(alpha, beta, reach, percent):
  law = Law(1.69, 406.4, 410.7, alpha, beta)
  points = study_points(
    law, budgets=np.geomspace(1e17, 1e21, 5), sizes=15, reach=reach
  )
  off = isoflop.bias(points, law, Cost(), 1e24)
  assert 100 * off["tokens"] == pytest.approx(percent, abs=1e-3)
  assert abs(off["exponent"]) < 1e-9


def test_training_curves_give_approach_1():
  # One cell per size, told at many tokens: losses fall along each curve.
  sizes = np.geomspace(1e4, 1e6, 25)
  tokens = np.geomspace(1e6, 1e9, 25)
  params, tokens = map(np.ravel, np.meshgrid(sizes, tokens))
  points = points_of(params, tokens, LAW.loss(params, tokens))
  line = isoflop.envelope_line(points)
  assert line.power == pytest.approx(share_exponents(LAW, Cost())[0], abs=0.03)
  assert isoflop.envelope_line(study_points()) is None
