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

Dimension key: B frames, N tokens, c numbers in a token, R noise draws.
"""

import jax
import jax.numpy as jnp

# The velocity's error is that of x over 1 - t. Bounded here, so that training
# goes where conditions decide, not into the last, small corrections.
_SMALLEST_REST = 0.5


def shifted(time, shift):
  """Moves times in [0, 1] towards 0; 1 moves nothing."""
  return time / (time + shift * (1 - time))


def sample_time(key, shape, shift):
  """Logit-normal times, shifted."""
  return shifted(jax.nn.sigmoid(jax.random.normal(key, shape)), shift)


def signal(time):
  """How much of x is in x_t."""
  return time


def interpolate(x_BNc, noise_BNc, time_B):
  """The point x_t of the line at `time_B`."""
  time_B11 = time_B[:, None, None]
  return (1 - time_B11) * noise_BNc + time_B11 * x_BNc


def loss(denoise, x_BNc, key, draws, shift):
  """Flow-matching loss of a network that predicts data.

  Args:
    denoise: (noisy_BNc, time_B) -> clean_BNc, called on R*B frames, the draws
      of all frames after each other.
    x_BNc: the data.
    key: randomness of noise and time.
    draws: R.
    shift: of the times, see `shifted`.

  Returns:
    [B], one error for each frame.
  """
  time_key, noise_key = jax.random.split(key)
  x_BNc = jnp.tile(x_BNc, (draws, 1, 1))
  time_B = sample_time(time_key, x_BNc.shape[:1], shift)
  noise_BNc = jax.random.normal(noise_key, x_BNc.shape)
  clean_BNc = denoise(interpolate(x_BNc, noise_BNc, time_B), time_B)
  rest_B = jnp.maximum(1 - time_B, _SMALLEST_REST)
  error_B = jnp.square(clean_BNc - x_BNc).mean(axis=(1, 2)) / rest_B**2
  return error_B.reshape(draws, -1).mean(axis=0)


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

  grid = shifted(jnp.linspace(0.0, 1.0, steps + 1), shift)
  return jax.lax.scan(euler, noise_BNc, (grid[:-1], grid[1:]))[0]
