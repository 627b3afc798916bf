import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eartalk_jax.evaluation import roughening
from eartalk_jax.evaluation.roughening import resampling, roughen


def smooth_pictures():
  y, x = jnp.meshgrid(*2 * [jnp.linspace(0, 3, 32)], indexing="ij")
  picture_YX3 = 0.5 + 0.4 * jnp.stack([jnp.sin(y), jnp.cos(x), y * x / 9], -1)
  return jnp.stack(4 * [picture_YX3])


def test_pictures_change_a_little_and_each_differently():
  pictures_BYX3 = smooth_pictures()
  rough_BYX3 = roughen(pictures_BYX3, jax.random.key(0))
  assert rough_BYX3.shape == pictures_BYX3.shape
  difference = np.abs(rough_BYX3 - pictures_BYX3)
  assert 0.01 < difference.mean() < 0.2
  assert np.abs(rough_BYX3[0] - rough_BYX3[1]).mean() > 0.01
  again_BYX3 = roughen(pictures_BYX3, jax.random.key(0))
  np.testing.assert_array_equal(rough_BYX3, again_BYX3)


def test_resampling_averages_and_keeps_constants():
  matrix_XX = resampling(jax.random.key(1), 32)
  assert np.min(matrix_XX) >= 0
  np.testing.assert_allclose(matrix_XX.sum(-1), 1, atol=1e-5)


def test_without_blur_zoom_and_shift_nothing_moves(monkeypatch):
  for name, value in (("ZOOM", 0.0), ("SHIFT", 0.0), ("BLUR", 1.0)):
    monkeypatch.setattr(roughening, name, value)
  matrix_XX = resampling(jax.random.key(1), 32)
  np.testing.assert_allclose(matrix_XX, np.eye(32), atol=1e-5)


def test_a_shift_moves_by_its_pixels(monkeypatch):
  monkeypatch.setattr(roughening, "ZOOM", 0.0)
  monkeypatch.setattr(roughening, "BLUR", 1.0)
  ramp_X = jnp.arange(32.0)
  shifts = []
  for seed in range(64):
    moved_X = resampling(jax.random.key(seed), 32) @ ramp_X
    inner_X = np.asarray(moved_X - ramp_X)[4:-4]
    assert np.ptp(inner_X) < 1e-3
    shifts.append(inner_X.mean())
  assert np.abs(shifts).max() == pytest.approx(roughening.SHIFT, abs=0.3)
  assert min(shifts) < 0 < max(shifts)
