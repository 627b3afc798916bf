"""Straight-line flow from noise to data, with a network that predicts data.

  x_t = (1 - t) * noise + t * x          t in [0, 1)
  velocity = x - noise = (x - x_t) / (1 - t)

The network predicts x; its loss is the velocity's, so it is the flow-matching
loss (Lipman et al., arXiv 2210.02747) with a direct parameterisation: most of
a frame follows from its conditions, and a data prediction can say so at once.

Dimension key: B frames, N tokens, c numbers in a token, R noise draws.
"""

import jax
import jax.numpy as jnp

# Velocity errors are data errors over 1 - t; without a bound the few draws
# close to t = 1 would rule the loss.
_SMALLEST_REST = 0.1


def sample_time(key, shape):
  """Logit-normal times, dense in the middle (Esser et al., 2403.03206)."""
  return jax.nn.sigmoid(jax.random.normal(key, shape))


def interpolate(x_BNc, noise_BNc, time_B):
  """The point x_t of the line at `time_B`."""
  time_B11 = time_B[:, None, None]
  return (1 - time_B11) * noise_BNc + time_B11 * x_BNc


def loss(denoise, x_BNc, key, draws):
  """Flow-matching loss of a data-predicting network.

  Args:
    denoise: (noisy_BNc, time_B) -> clean_BNc, called on R*B frames, the draws
      of all frames after each other.
    x_BNc: the data.
    key: randomness of noise and time.
    draws: R.

  Returns:
    [B] mean squared velocity error of each frame.
  """
  time_key, noise_key = jax.random.split(key)
  x_BNc = jnp.tile(x_BNc, (draws, 1, 1))
  time_B = sample_time(time_key, x_BNc.shape[:1])
  noise_BNc = jax.random.normal(noise_key, x_BNc.shape)
  clean_BNc = denoise(interpolate(x_BNc, noise_BNc, time_B), time_B)
  rest_B = jnp.maximum(1 - time_B, _SMALLEST_REST)
  error_B = jnp.square(clean_BNc - x_BNc).mean(axis=(1, 2)) / rest_B**2
  return error_B.reshape(draws, -1).mean(axis=0)


def sample(denoise, noise_BNc, steps):
  """Euler steps from noise (t = 0) to data (t = 1).

  Args:
    denoise: (noisy_BNc, time_B) -> clean_BNc.
    noise_BNc: the starting point.
    steps: how many; the last one lands on the network's own prediction.

  Returns:
    [B N c].
  """

  def euler(x_BNc, index):
    time = index / steps
    clean_BNc = denoise(x_BNc, jnp.full(x_BNc.shape[:1], time))
    share = (1 / steps) / (1 - time)
    return x_BNc + share * (clean_BNc - x_BNc), None

  index = jnp.arange(steps, dtype=jnp.float32)
  return jax.lax.scan(euler, noise_BNc, index)[0]
