"""Does the best learning rate stay where it is when a model grows?

Short runs over widths and rates, in standard and in maximal-update
parametrisation (`optimization.width_transfer`). All of them see the same
batches and the same noise, so their losses differ by what they are.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.optimization.optimizer import learning_rate, make_optimizer
from eartalk_jax.optimization.width_transfer import in_proportion
from eartalk_jax.scaling.coordinates import KINDS
from eartalk_jax.training import talker_training
from eartalk_jax.training.sharding import make_mesh


def parametrised(recipe, cfg, optimizer, width, base_width):
  """What a Trainer needs of a talker: (functions, OptimizerConfig).

  Args:
    recipe: Recipe.
    cfg: TalkerConfig; both its widths grow in proportion.
    optimizer: OptimizerConfig; its base widths are not read.
    width: of the backbone.
    base_width: where both KINDS are one.
  """
  model, base = in_proportion(cfg, width), in_proportion(cfg, base_width)
  optimizer = dataclasses.replace(
    optimizer, base_width=base.width, base_head_width=base.head.width
  )
  mesh = make_mesh(devices=jax.devices()[:1])
  return talker_training.functions(recipe, model, mesh, optimizer), optimizer


class Trainer:
  """Short runs of one model; all rates and both KINDS share a program."""

  def __init__(self, functions, optimizer, batches, held_out):
    """Compiles nothing yet.

    Args:
      functions: `init_params`, `loss_fn` and `multipliers`, as for `loop.fit`.
      optimizer: OptimizerConfig with a base width; its rate is not read.
      batches: of the steps, in order.
      held_out: batches that the runs are judged by.
    """
    optimizer = dataclasses.replace(optimizer, peak_lr=1.0)
    self._multipliers = functions["multipliers"]
    self._batches, self._held_out = batches, held_out
    self._init = jax.jit(functions["init_params"])
    self._step = jax.jit(
      _step(functions["loss_fn"], optimizer, len(batches)), donate_argnums=0
    )
    self._loss = jax.jit(
      lambda params, *args: functions["loss_fn"](params, None, *args)[0]
    )
    self._make = lambda factors: make_optimizer(optimizer, factors)

  def run(self, kind, rate, seed=0):
    """The mean loss over the held-out batches after training at a rate.

    Not finite if it diverged.
    """
    factors = self._multipliers
    if kind == "standard":
      factors = jax.tree.map(lambda _: 1.0, factors)
    init_key, step_key, loss_key = jax.random.split(jax.random.key(seed), 3)
    params = self._init(init_key)
    state = params, self._make(factors).init(params)
    for number, batch in enumerate(self._batches):
      key = jax.random.fold_in(step_key, number)
      state = self._step(state, batch, key, factors, number, rate)
    losses = [
      self._loss(state[0], batch, jax.random.fold_in(loss_key, number))
      for number, batch in enumerate(self._held_out)
    ]
    return float(np.mean(jax.device_get(losses)))


def _step(loss_fn, optimizer, steps):
  """The train step without average and guard, its rate an argument."""
  schedule = learning_rate(optimizer, steps)

  def step(state, batch, key, factors, number, rate):
    params, opt = state
    grads, _ = jax.grad(loss_fn, has_aux=True)(params, None, batch, key)
    update = make_optimizer(optimizer, factors).update
    updates, opt = update(grads, opt, params)
    lr = rate * schedule(number)
    return jax.tree.map(lambda p, u: p - lr * u, params, updates), opt

  return step


@dataclasses.dataclass(frozen=True)
class Optimum:
  """Where a curve of losses over rates is lowest.

  Attributes:
    rate: of the parabola through the lowest three in the rates' logarithm; the
      lowest rate's own if it is the first or the last that was tried.
    loss: the lowest that was measured.
    inside: whether rates on both sides were worse.
  """

  rate: float
  loss: float
  inside: bool


def optimum(rates, losses):
  """The Optimum of a curve; None if no run of it came to an end.

  Args:
    rates: ascending.
    losses: of them; not finite where a run diverged.
  """
  losses = np.where(np.isfinite(losses), losses, np.inf)
  best = int(np.argmin(losses))
  if not np.isfinite(losses[best]):
    return None
  around = losses[max(best - 1, 0) : best + 2]
  inside = 0 < best < len(rates) - 1
  rate = rates[best]
  if inside and np.isfinite(around).all():
    logs = np.log(rates[best - 1 : best + 2])
    a, b, _ = np.polyfit(logs - logs[1], around, 2)
    rate = float(np.exp(logs[1] - b / (2 * a)))
  return Optimum(float(rate), float(losses[best]), inside)


def summary(widths, rates, losses):
  """What the curves say, as JSON would have it.

  Args:
    widths: ascending.
    rates: ascending.
    losses: {kind: [widths, rates]}.

  Returns:
    {kind: {"best": an Optimum for each width or None, "drift": the power of
    the width by which the best rate moves, or None, "at_base_rate": losses at
    the rate that is best for the first width}}.
  """
  found = {}
  for kind in KINDS:
    best = [optimum(rates, row) for row in np.asarray(losses[kind])]
    known = [(w, o.rate) for w, o in zip(widths, best, strict=True) if o]
    drift = None
    if len(known) > 1:
      drift = float(np.polyfit(*np.log(known).T, 1)[0])
    row = {"best": [o and dataclasses.asdict(o) for o in best], "drift": drift}
    if best[0]:
      index = int(np.argmin(np.abs(np.log(rates) - np.log(best[0].rate))))
      row["base_rate"] = rates[index]
      row["at_base_rate"] = [float(each[index]) for each in losses[kind]]
    found[kind] = row
  return found


def take(batches, count):
  """The first batches, on the device."""
  return [
    jax.tree.map(jnp.asarray, batch)
    for batch in itertools.islice(batches, count)
  ]
