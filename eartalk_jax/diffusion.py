"""Noise prediction (DDPM, arXiv 2006.11239; EARTalking's Eq. 1), cosine times.

  x_t = sin(pi t / 2) * x + cos(pi t / 2) * noise          t in (0, 1]

Time runs from noise to data as in `flow`, the schedule is the cosine one
(arXiv 2102.09672) and the network predicts the noise.

Dimension key: B frames of as many streams, N tokens, c numbers in a token,
R noise draws; leading ... is that of frames, [B T] in training.
"""

import jax
import jax.numpy as jnp
import numpy as np

# At t = 0 nothing of x is left, so a predicted noise would say nothing of x.
# At this time x is 1/1000 of the power: as good as nothing, yet finite.
FIRST_TIME = 0.02


def signal(time):
  """How much of x is in x_t."""
  return jnp.sin(jnp.pi / 2 * time)


def _interpolate(x, noise, time):
  angle = jnp.pi / 2 * time[..., None, None]
  return jnp.sin(angle) * x + jnp.cos(angle) * noise


def loss(predict, x, key, draws, uniform=None):
  """Mean squared error of a network that predicts the noise.

  Args:
    predict: (noisy [R, ..., N, c], time [R, ...]) -> noise [R, ..., N, c].
    x: the data, [..., N, c].
    key: randomness of noise and time.
    draws: R.
    uniform: [R, ...] quantiles of the times, where they are not to be drawn.

  Returns:
    [...], one error for each frame.
  """
  time_key, noise_key = jax.random.split(key)
  if uniform is None:
    uniform = jax.random.uniform(time_key, (draws, *x.shape[:-2]))
  time = FIRST_TIME + (1 - FIRST_TIME) * uniform
  noise = jax.random.normal(noise_key, (draws, *x.shape))
  error = predict(_interpolate(x[None], noise, time), time) - noise
  return jnp.square(error).mean(axis=(0, -2, -1))


def _posterior(times):
  """Coefficients of x_s given x_t and x, for neighbours t < s of `times`.

  Returns:
    {name: [steps]}: of x_t, of x, and of the fresh noise (0 at the last step).
  """
  alpha, sigma = np.sin(np.pi / 2 * times), np.cos(np.pi / 2 * times)
  sigma[-1] = 0.0
  ratio = alpha[:-1] / alpha[1:]
  added = sigma[:-1] ** 2 - ratio**2 * sigma[1:] ** 2
  return {
    "noisy": ratio * sigma[1:] ** 2 / sigma[:-1] ** 2,
    "clean": alpha[1:] * added / sigma[:-1] ** 2,
    "fresh": np.sqrt(added) * sigma[1:] / sigma[:-1],
  }


def sample(predict, noise_BNc, steps, fresh):
  """Ancestral steps from noise to data.

  Args:
    predict: (noisy_BNc, time_B) -> noise_BNc.
    noise_BNc: the starting point.
    steps: how many.
    fresh: step's number -> the noise [B N c] that the step adds.

  Returns:
    [B N c].
  """
  times = np.linspace(FIRST_TIME, 1.0, steps + 1)
  plan = {
    "index": np.arange(steps),
    "time": times[:-1],
    "alpha": np.sin(np.pi / 2 * times[:-1]),
    "sigma": np.cos(np.pi / 2 * times[:-1]),
    **_posterior(times),
  }
  plan = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.int32 if x.dtype == int else jnp.float32), plan
  )

  def ancestral(x_BNc, now):
    time_B = jnp.full(x_BNc.shape[:1], now["time"])
    clean_BNc = (x_BNc - now["sigma"] * predict(x_BNc, time_B)) / now["alpha"]
    x_BNc = now["noisy"] * x_BNc + now["clean"] * clean_BNc
    return x_BNc + now["fresh"] * fresh(now["index"]), None

  return jax.lax.scan(ancestral, noise_BNc, plan)[0]
