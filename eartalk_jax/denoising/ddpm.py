"""Noise prediction (DDPM, arXiv 2006.11239; EARTalking's Eq. 1), cosine times.

  x_t = sin(pi t / 2) * x + cos(pi t / 2) * noise          t in (0, 1]

The schedule is the cosine one (arXiv 2102.09672) and the network predicts the
noise. Sampling takes ancestral steps.

Dimension key: N tokens, c numbers in a token; leading ... as in the package.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

# At t = 0 nothing of x is left, so a predicted noise would say nothing of x.
# At this time x is 1/1000 of the power: as good as nothing, yet finite.
FIRST_TIME = 0.02


@dataclasses.dataclass(frozen=True)
class Cosine:
  """The Process."""

  predicts_data = False

  def times(self, key, shape, uniform=None):
    """Uniform times."""
    if uniform is None:
      uniform = jax.random.uniform(key, shape)
    return FIRST_TIME + (1 - FIRST_TIME) * uniform

  def signal(self, time):
    """See `Process`."""
    return jnp.sin(jnp.pi / 2 * time)

  def mix(self, x, noise, time):
    """x_t: its power is that of x and noise, if theirs are one."""
    angle = jnp.pi / 2 * time[..., None, None]
    return jnp.sin(angle) * x + jnp.cos(angle) * noise

  def error(self, out, x, noise, time):
    """Mean squared."""
    del x, time
    return jnp.square(out - noise).mean(axis=(-2, -1))

  def start(self, noise, temperature):
    """All of the noise: the temperature scales what each step adds (MAR)."""
    del temperature
    return noise

  def plan(self, steps):
    """Coefficients of x_s given x_t and x, for neighbours t < s.

    noisy, clean, fresh: of x_t, of x, and of the fresh noise, 0 at the last
    step. alpha, sigma: of x and of noise in x_t.
    """
    times = np.linspace(FIRST_TIME, 1.0, steps + 1)
    alpha, sigma = np.sin(np.pi / 2 * times), np.cos(np.pi / 2 * times)
    sigma[-1] = 0.0
    ratio = alpha[:-1] / alpha[1:]
    added = sigma[:-1] ** 2 - ratio**2 * sigma[1:] ** 2
    return {
      "time": times[:-1],
      "alpha": alpha[:-1],
      "sigma": sigma[:-1],
      "noisy": ratio * sigma[1:] ** 2 / sigma[:-1] ** 2,
      "clean": alpha[1:] * added / sigma[:-1] ** 2,
      "fresh": np.sqrt(added) * sigma[1:] / sigma[:-1],
    }

  def step(self, x, out, now, fresh):
    """Ancestral."""
    clean = (x - now["sigma"] * out) / now["alpha"]
    return now["noisy"] * x + now["clean"] * clean + now["fresh"] * fresh()
