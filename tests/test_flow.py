"""Flow matching against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import denoising
from eartalk_jax.denoising.flow import Flow

FLOW = Flow(shift=3.0)


def test_sampling_a_known_gaussian_gives_its_mean_and_spread():
  mean, spread = 1.5, 0.5

  def denoise(x_BNc, time_B):
    # E[x | x_t] for x ~ N(mean, spread^2), x_t = (1 - t) noise + t x.
    t = time_B[:, None, None]
    gain = t * spread**2 / ((1 - t) ** 2 + t**2 * spread**2)
    return mean + gain * (x_BNc - t * mean)

  noise_BNc = jax.random.normal(jax.random.key(0), (2_000, 4, 3))
  samples = denoising.sample(FLOW, denoise, 100, lambda step: noise_BNc)
  assert abs(samples.mean() - mean) < 0.02
  assert abs(samples.std() - spread) < 0.02


def test_the_last_step_lands_on_the_prediction():
  target_BNc = jax.random.normal(jax.random.key(0), (2, 3, 4))
  noise_BNc = jax.random.normal(jax.random.key(1), (2, 3, 4))
  for steps in (1, 7):
    sampled = denoising.sample(
      FLOW, lambda x, t: target_BNc, steps, lambda step: noise_BNc
    )
    np.testing.assert_allclose(sampled, target_BNc, atol=1e-5)


def test_the_loss_is_zero_for_the_truth_and_the_velocity_error_otherwise():
  x_BNc = jax.random.normal(jax.random.key(0), (5, 3, 4))
  key = jax.random.key(1)
  truth = jnp.broadcast_to(x_BNc, (2, *x_BNc.shape))
  assert (
    denoising.loss(FLOW, lambda x, t: truth, x_BNc, key, draws=2).max() == 0
  )
  seen = {}

  def off(noisy_BNc, time_B):
    seen["time"] = time_B
    return truth + 0.1

  loss_B = denoising.loss(FLOW, off, x_BNc, key, draws=2)
  rest = np.maximum(1 - np.asarray(seen["time"]), 0.5)
  want = (0.1**2 / rest**2).mean(axis=0)
  np.testing.assert_allclose(loss_B, want, rtol=1e-4)


def test_times_are_logit_normal_and_shifted_as_noise_would_be_scaled():
  shift = 3.0
  time = Flow(shift).times(jax.random.key(0), (20_000,))
  logit = jnp.log(time / (1 - time))
  assert abs(logit.mean() + jnp.log(shift)) < 0.03
  assert abs(logit.std() - 1) < 0.03
