"""Noise prediction against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import denoising
from eartalk_jax.denoising.ddpm import Cosine

MEAN, SPREAD = 1.5, 0.5


def _ideal(x_BNc, time_B):
  """E[noise | x_t] for x ~ N(MEAN, SPREAD^2)."""
  alpha = jnp.sin(jnp.pi / 2 * time_B)[..., None, None]
  sigma = jnp.cos(jnp.pi / 2 * time_B)[..., None, None]
  variance = alpha**2 * SPREAD**2 + sigma**2
  return sigma / variance * (x_BNc - alpha * MEAN)


def _noise(shape):
  def draw(step):
    return jax.random.normal(jax.random.fold_in(jax.random.key(1), step), shape)

  return draw


def test_sampling_a_known_gaussian_gives_its_mean_and_spread():
  shape = (2_000, 4, 3)
  samples = denoising.sample(Cosine(), _ideal, 100, _noise(shape))
  assert abs(samples.mean() - MEAN) < 0.02
  assert abs(samples.std() - SPREAD) < 0.02


def test_a_network_that_knows_the_noise_brings_back_the_data():
  x_BNc = jax.random.normal(jax.random.key(0), (3, 2, 4))

  def knows(noisy_BNc, time_B):
    alpha = jnp.sin(jnp.pi / 2 * time_B)[:, None, None]
    sigma = jnp.cos(jnp.pi / 2 * time_B)[:, None, None]
    return (noisy_BNc - alpha * x_BNc) / sigma

  for steps in (1, 7):
    sampled_BNc = denoising.sample(Cosine(), knows, steps, _noise(x_BNc.shape))
    np.testing.assert_allclose(sampled_BNc, x_BNc, atol=1e-3)


def test_the_loss_of_the_best_network_is_what_cannot_be_known():
  x_BNc = MEAN + SPREAD * jax.random.normal(jax.random.key(0), (4_000, 2, 3))
  loss_B = denoising.loss(Cosine(), _ideal, x_BNc, jax.random.key(1), 4)
  # Var[noise | x_t] = alpha^2 SPREAD^2 / (alpha^2 SPREAD^2 + sigma^2).
  time = np.linspace(0.02, 1, 10_001)
  seen = np.sin(np.pi / 2 * time) ** 2 * SPREAD**2
  want = np.mean(seen / (seen + np.cos(np.pi / 2 * time) ** 2))
  np.testing.assert_allclose(loss_B.mean(), want, rtol=0.02)
  worse = denoising.loss(
    Cosine(), lambda x, t: _ideal(x, t) + 0.1, x_BNc, jax.random.key(1), 4
  )
  np.testing.assert_allclose(worse.mean() - loss_B.mean(), 0.01, atol=2e-3)
