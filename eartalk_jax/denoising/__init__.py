"""From noise to data: a process, and what is done with any process.

  error = loss(process, predict, x, key, draws, uniform=None)
  x_BNc = sample(process, predict, steps, noise, temperature)

Time runs from 0, noise, to 1, data, and a frame has one of its own: the arrays
of times are as the frames, [...], those of data [..., N, c].

Dimension key: N tokens, c numbers in a token, R noise draws; leading ... is
that of frames, [B T] in training and [B] in a stream.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np


class Process(Protocol):
  """How data becomes noise, and what a network says about the way back.

  Attributes:
    predicts_data: whether the network's output is the data x; else it is the
      noise.
  """

  predicts_data: bool

  def times(self, key, shape, uniform=None) -> jax.Array:
    """Times of training of that shape.

    Args:
      key: randomness of the times.
      shape: how many.
      uniform: quantiles in (0, 1) of that shape, where times are not drawn.
    """

  def signal(self, time) -> jax.Array:
    """How much of x is in x_t."""

  def mix(self, x, noise, time) -> jax.Array:
    """x_t, [..., N, c], of times [...]."""

  def error(self, out, x, noise, time) -> jax.Array:
    """The error of an output, [...]: one for each frame."""

  def start(self, noise, temperature) -> jax.Array:
    """Where sampling begins."""

  def plan(self, steps) -> dict[str, np.ndarray]:
    """What each step of sampling needs, {name: [steps]}; `time` among it."""

  def step(self, x, out, now, fresh) -> jax.Array:
    """x at the next time.

    Args:
      x: at the time of this step.
      out: what the network says of it.
      now: the step's part of `plan`.
      fresh: () -> new noise as x, scaled by the temperature.
    """


def loss(process, predict, x, key, draws, uniform=None):
  """The error of a network that denoises.

  Args:
    process: Process.
    predict: (noisy [R, ..., N, c], time [R, ...]) -> its output [R, ..., N, c].
    x: the data, [..., N, c].
    key: randomness of noise and times.
    draws: R.
    uniform: [R, ...] quantiles of the times, where they are not to be drawn.

  Returns:
    [...], one error for each frame.
  """
  time_key, noise_key = jax.random.split(key)
  # An axis of its own for the draws: frames stay where they are on a mesh.
  time = process.times(time_key, (draws, *x.shape[:-2]), uniform)
  noise = jax.random.normal(noise_key, (draws, *x.shape))
  out = predict(process.mix(x[None], noise, time), time)
  return process.error(out, x[None], noise, time).mean(axis=0)


def sample(process, predict, steps, noise, temperature=1.0):
  """From noise to data.

  Args:
    process: Process.
    predict: (noisy_BNc, time_B) -> its output [B N c].
    steps: how many.
    noise: number -> noise [B N c]. Numbers below `steps` are those of the steps
      that ask for some, `steps` is that of the start.
    temperature: scale of the noise that decides what is drawn.

  Returns:
    [B N c].
  """
  plan = {"index": np.arange(steps), **process.plan(steps)}
  plan = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.int32 if x.dtype == int else jnp.float32), plan
  )

  def step(x_BNc, now):
    out_BNc = predict(x_BNc, jnp.full(x_BNc.shape[:1], now["time"]))

    def fresh():
      return temperature * noise(now["index"])

    return process.step(x_BNc, out_BNc, now, fresh), None

  start_BNc = process.start(noise(steps), temperature)
  return jax.lax.scan(step, start_BNc, plan)[0]
