"""Flow matching with a network that predicts data (arXiv 2210.02747).

  x_t = (1 - t) * noise + t * x          t in [0, 1)
  velocity = x - noise = (x - x_t) / (1 - t)

A token holds far more numbers than a frame has freedom, once its conditions are
known. A network that predicts the velocity has to carry all of the noise from
its input to its output; one that predicts x may forget it (arXiv 2511.13720).

A frame has hundreds of numbers and a few dozen degrees of freedom, so a little
of x in x_t gives it away: at the usual times a network learns to clean what it
sees and never needs its conditions. `shift` moves times towards noise, as image
models do when pictures grow (Esser et al., 2403.03206).

Sampling takes Euler steps; the last one lands on the network's own prediction.

Dimension key: N tokens, c numbers in a token; leading ... as in the package.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

# The velocity's error is that of x over 1 - t. Bounded here, so that training
# goes where conditions decide, not into the last, small corrections.
SMALLEST_REST = 0.5


@dataclasses.dataclass(frozen=True)
class Flow:
  """The Process; `shift` moves times towards noise, 1 moves nothing."""

  shift: float

  predicts_data = True

  def times(self, key, shape, uniform=None):
    """Logit-normal times, shifted; their quantiles at `uniform`, if given."""
    if uniform is None:
      normal = jax.random.normal(key, shape)
    else:
      normal = jax.scipy.special.ndtri(uniform)
    return self._shifted(jax.nn.sigmoid(normal))

  def signal(self, time):
    """See `Process`."""
    return time

  def mix(self, x, noise, time):
    """The point x_t of the line."""
    time = time[..., None, None]
    return (1 - time) * noise + time * x

  def error(self, out, x, noise, time):
    """That of the velocity, bounded."""
    del noise
    rest = jnp.maximum(1 - time, SMALLEST_REST)
    return jnp.square(out - x).mean(axis=(-2, -1)) / rest**2

  def start(self, noise, temperature):
    """Less noise shows the middle of what was learned."""
    return temperature * noise

  def plan(self, steps):
    """The times before and after each step."""
    grid = self._shifted(np.linspace(0.0, 1.0, steps + 1))
    return {"time": grid[:-1], "after": grid[1:]}

  def step(self, x, out, now, fresh):
    """Euler."""
    del fresh
    share = (now["after"] - now["time"]) / (1 - now["time"])
    return x + share * (out - x)

  def _shifted(self, time):
    return time / (time + self.shift * (1 - time))
