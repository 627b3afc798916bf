"""State and step of training: pure functions, to be compiled by the caller."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from eartalk_jax.optimizer import ema_decay, learning_rate, make_optimizer


@flax.struct.dataclass
class TrainState:
  """Everything a step changes; `ema` is the average that inference uses."""

  step: jax.Array
  params: Any
  ema: Any
  opt: Any


def make_init(run, init_params):
  """key -> TrainState before the first step."""
  optimizer = make_optimizer(run.optimizer)

  def init(key):
    params = init_params(key)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      # Not the same buffers: both are donated.
      ema=jax.tree.map(jnp.copy, params),
      opt=optimizer.init(params),
    )

  return init


def make_step(run, loss_fn):
  """(state, batch, key) -> (state, metrics).

  A step whose loss or gradient is not finite changes nothing but the step
  number, and says so in the metric `skipped`.
  """
  optimizer = make_optimizer(run.optimizer)
  rate = learning_rate(run.optimizer, run.steps)

  def step(state, batch, key):
    (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(
      state.params, batch, jax.random.fold_in(key, state.step)
    )
    norm = optax.tree.norm(grads)
    lr = rate(state.step)
    updates, opt = optimizer.update(grads, state.opt, state.params)
    params = jax.tree.map(lambda p, u: p - lr * u, state.params, updates)
    keep = ema_decay(state.step, run.ema_decay)
    ema = jax.tree.map(lambda e, p: e + (1 - keep) * (p - e), state.ema, params)
    new = TrainState(state.step + 1, params, ema, opt)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    new = jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, state)
    metrics = {
      **metrics,
      "loss": loss,
      "grad_norm": norm,
      "lr": lr,
      "skipped": 1.0 - finite,
    }
    return new.replace(step=state.step + 1), metrics

  return step
