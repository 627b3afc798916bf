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

Dimension key: N tokens, c numbers in a token, R noise draws; leading ... is
that of frames, [B T] in training and [B] in a stream.
"""

import jax
import jax.numpy as jnp
import numpy as np

# The velocity's error is that of x over 1 - t. Bounded here, so that training
# goes where conditions decide, not into the last, small corrections.
SMALLEST_REST = 0.5


def shifted(time, shift):
  """Moves times in [0, 1] towards 0; 1 moves nothing."""
  return time / (time + shift * (1 - time))


def sample_time(key, shape, shift, uniform=None):
  """Logit-normal times, shifted; their quantiles at `uniform`, if given."""
  if uniform is None:
    normal = jax.random.normal(key, shape)
  else:
    normal = jax.scipy.special.ndtri(uniform)
  return shifted(jax.nn.sigmoid(normal), shift)


def signal(time):
  """How much of x is in x_t."""
  return time


def interpolate(x, noise, time):
  """The point x_t of the line at `time` [...], between [..., N, c]."""
  time = time[..., None, None]
  return (1 - time) * noise + time * x


def loss(denoise, x, key, draws, shift, uniform=None):
  """Flow-matching loss of a network that predicts data.

  Args:
    denoise: (noisy [R, ..., N, c], time [R, ...]) -> clean [R, ..., N, c].
    x: the data, [..., N, c].
    key: randomness of noise and time.
    draws: R.
    shift: of the times, see `shifted`.
    uniform: [R, ...] quantiles of the times, where they are not to be drawn.

  Returns:
    [...], one error for each frame.
  """
  time_key, noise_key = jax.random.split(key)
  # An axis of its own for the draws: frames stay where they are on a mesh.
  time = sample_time(time_key, (draws, *x.shape[:-2]), shift, uniform)
  noise = jax.random.normal(noise_key, (draws, *x.shape))
  clean = denoise(interpolate(x[None], noise, time), time)
  rest = jnp.maximum(1 - time, SMALLEST_REST)
  error = jnp.square(clean - x[None]).mean(axis=(-2, -1)) / rest**2
  return error.mean(axis=0)


def sample(denoise, noise_BNc, steps, shift):
  """Euler steps from noise (t = 0) to data (t = 1).

  Args:
    denoise: (noisy_BNc, time_B) -> clean_BNc.
    noise_BNc: the starting point.
    steps: how many; the last one lands on the network's own prediction.
    shift: of the times, see `shifted`.

  Returns:
    [B N c].
  """

  def euler(x_BNc, times):
    time, after = times
    clean_BNc = denoise(x_BNc, jnp.full(x_BNc.shape[:1], time))
    return x_BNc + (after - time) / (1 - time) * (clean_BNc - x_BNc), None

  grid = shifted(np.linspace(0.0, 1.0, steps + 1), shift)
  grid = jnp.asarray(grid, jnp.float32)
  return jax.lax.scan(euler, noise_BNc, (grid[:-1], grid[1:]))[0]
