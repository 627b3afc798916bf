"""State and step of training: pure functions, to be compiled by the caller."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from eartalk_jax.optimization.optimizer import (
  ema_decay,
  learning_rate,
  make_optimizer,
)
from eartalk_jax.training.accumulation import differentiate
from eartalk_jax.training.guard import GuardState, init_guard, limits, remember


@flax.struct.dataclass
class TrainState:
  """Everything a step changes; `ema` is the average that inference uses.

  `guard.count` steps of `step` were taken, the others skipped.
  """

  step: jax.Array
  params: Any
  ema: Any
  opt: Any
  guard: GuardState


def make_init(run, init_params, multipliers=None):
  """key -> TrainState before the first step; see `make_step`."""
  optimizer = make_optimizer(run.optimizer, multipliers)

  def init(key):
    params = init_params(key)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      # Not the same buffers: both are donated.
      ema=jax.tree.map(jnp.copy, params),
      opt=optimizer.init(params),
      guard=init_guard(run.guard),
    )

  return init


def make_step(run, loss_fn, multipliers=None):
  """(state, frozen, batch, key, lr=None) -> (state, metrics).

  The rate is that of the state's step, unless it is given: then the program
  does not depend on the schedule, and a run's branches share it.

  A step whose loss or gradient is not finite, or a spike (`guard`), changes
  nothing but the step number, and says so in the metric `skipped`. Both are of
  the whole batch, so all devices and processes decide alike.

  Args:
    run: RunConfig.
    loss_fn: as in `loop.fit`.
    multipliers: of updates, for `make_optimizer`.
  """
  optimizer = make_optimizer(run.optimizer, multipliers)
  rate = learning_rate(run.optimizer, run.steps)
  loss_and_grads = differentiate(loss_fn, run.accumulate)

  def step(state, frozen, batch, key, lr=None):
    (loss, metrics), grads = loss_and_grads(
      state.params, frozen, batch, jax.random.fold_in(key, state.step)
    )
    with jax.named_scope("optimizer"):  # as a profile calls it
      norm = optax.tree.norm(grads)
      lr = rate(state.step) if lr is None else lr
      updates, opt = optimizer.update(grads, state.opt, state.params)
      params = jax.tree.map(lambda p, u: p - lr * u, state.params, updates)
      change = 1 - ema_decay(state.step, run.ema_decay)
      ema = jax.tree.map(lambda e, p: e + change * (p - e), state.ema, params)
    new = TrainState(
      state.step, params, ema, opt, remember(state.guard, loss, norm)
    )
    loss_limit, norm_limit = limits(run.guard, state.guard)
    taken = jnp.isfinite(loss) & jnp.isfinite(norm)
    taken &= (loss <= loss_limit) & (norm <= norm_limit)
    new = jax.tree.map(lambda n, o: jnp.where(taken, n, o), new, state)
    new = new.replace(step=state.step + 1)
    metrics = {
      **metrics,
      "loss": loss,
      "loss_limit": loss_limit,
      "grad_norm": norm,
      "grad_norm_limit": norm_limit,
      "lr": lr,
      "skipped": 1.0 - taken,
      "skipped_total": new.step - new.guard.count,
    }
    return new, metrics

  return step
