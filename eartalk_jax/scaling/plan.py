"""Which runs a scaling law is fitted to: an isoFLOP ladder for each budget.

A budget's sizes are neighbours on one grid (`ladder`), as many below the
expected optimum as above; each trains for as many steps as the budget pays for.
The expected optimum is where there are `frames_per_param` latent frames for
each parameter, or where a law that was fitted before is lowest.

Learning rate: warm-up, stable, decay. So the runs of one size share a trunk at
the constant rate, and each branches off it for a cool-down of its own:

  trunk      ----------+-----------------+------------------
                        \\ cool-down       \\ cool-down
  ends with               budget 1          budget 2

A branch ends with the bits of a run from scratch. A cell's FLOPs, by which it
meets its budget, are those of such a run; what sharing saves lowers the hours
alone. Size decides about rate, and all cells share the batch and the seed, so
that they see the same clips in the same order.
"""

import dataclasses
import math

from eartalk_jax.errors import UserError
from eartalk_jax.scaling.budgets import (
  budget_name,
  check_budgets,
  check_transfer,
)
from eartalk_jax.scaling.cells import Cell, shape_name
from eartalk_jax.scaling.flops import law_parameters, parameters, training_flops

# Of a parameter in training: itself, average, two moments, gradient; float32.
_STATE_BYTES = 20
# A cell may miss its budget by this share.
TOLERANCE = 0.02


def plan(config, ladder, rule, budgets, checks, machine, data_frames, law=None):
  """All cells of a sweep, those of a size in the order of their steps.

  Args:
    config: the TrainConfig of the reference.
    ladder: its Ladder.
    rule: its LadderConfig.
    budgets: FLOPs of the cells, each size once.
    checks: FLOPs of larger runs that are kept from the fit; each has the size
      of the expected optimum.
    machine: Machine.
    data_frames: latent frames of the training data.
    law: Law that says where the optima are expected.

  Raises:
    UserError: a budget cannot be planned; the message says why.
  """
  check_budgets(budgets, checks, machine)
  check_transfer(config.run.optimizer, rule)
  planner = _Planner(config, ladder, rule, machine, data_frames, law)
  cells = []
  for budget in sorted(budgets):
    cells += planner.sizes(budget)
  cells += [planner.check(budget) for budget in sorted(checks)]
  return _with_hours(cells, machine)


class _Planner:
  """What is the same for all budgets."""

  def __init__(self, config, ladder, rule, machine, data_frames, law):
    self._config, self._ladder, self._rule = config, ladder, rule
    self._machine, self._data_frames, self._law = machine, data_frames, law
    self._step_frames = config.run.batch_size * config.data.frames

  def sizes(self, budget):
    """The cells of a budget, small models first."""
    sides = self._rule.each_side
    middle = self._optimum(budget, sides)
    numbers = range(middle - sides, middle + sides + 1)
    return [self._cell(budget, number) for number in numbers]

  def check(self, budget):
    """One larger run, kept from the fit."""
    return self._cell(budget, self._optimum(budget, sides=1), check=True)

  def _optimum(self, budget, sides):
    """The number of the expected optimum, with enough sizes around it."""
    number = self._expected(budget)
    lacking = [
      near
      for near in range(number - sides, number + sides + 1)
      if self._ladder.size(near) is None
    ]
    if lacking:
      edge, more = (
        ("lower", "larger") if lacking[0] < number else ("upper", "smaller")
      )
      raise UserError(
        f"budget {budget_name(budget)}: the expected optimum of about "
        f"{self._params(number):,} parameters lies at the {edge} edge of the "
        f"ladder: widths that are multiples of {self._rule.unit} do not give "
        f"{sides} sizes beyond it, each {self._rule.spacing:g} times the next "
        f"one; take a {more} budget, a smaller ladder.unit or a larger spacing"
      )
    return number

  def _expected(self, budget):
    """Goes up the grid until the next size would be worse, or not pay."""
    number = 0
    if self._ladder.size(number) is None:
      raise UserError(
        f"ladder: widths that are multiples of {self._rule.unit} come nowhere "
        "near the reference; take a smaller ladder.unit"
      )
    while self._ladder.size(number - 1) is not None:
      number -= 1
    while self._better(budget, number + 1, number):
      number += 1
    return number

  def _better(self, budget, number, other):
    """Whether a larger size can be trained at all, and better than another."""
    model = self._ladder.size(number)
    if model is None:
      return False
    if budget < self._frame_flops(model) * self._step_frames:
      return False  # not one step
    return self._cost(budget, number) < self._cost(budget, other)

  def _cost(self, budget, number):
    """Lowest at the expected optimum; falls, then rises along the grid."""
    model = self._ladder.size(number)
    params = law_parameters(model)
    frames = budget / self._frame_flops(model)
    if self._law is not None:
      return self._law.loss(params, frames * model.tokens)
    return abs(math.log(frames / params / self._rule.frames_per_param))

  def _params(self, number):
    return law_parameters(self._ladder.size(number))

  def _frame_flops(self, model):
    return sum(training_flops(model, self._config.data.frames).values())

  def _cell(self, budget, number, check=False):
    model, run = self._ladder.size(number), self._config.run
    step_flops = self._frame_flops(model) * self._step_frames
    steps = round(budget / step_flops)
    name = budget_name(budget)
    self._check_size(name, model, steps, budget / step_flops)
    frames = steps * self._step_frames
    lr = run.optimizer.peak_lr * (
      (self._config.model.width / model.width) ** self._rule.lr_power
    )
    return Cell(
      name=f"{name}-{shape_name(model.width, model.depth)}" + "-check" * check,
      budget=name,
      check=check,
      size=number,
      width=model.width,
      depth=model.depth,
      heads=model.heads,
      head_width=model.head.width,
      head_depth=model.head.depth,
      head_heads=model.head.heads,
      denoiser=getattr(model.head, "denoiser_width", 0),
      unroll=model.unroll,
      params=law_parameters(model),
      all_params=sum(parameters(model).values()),
      steps=steps,
      branch=steps - math.ceil(self._rule.cooldown * steps),
      lr=float(f"{lr:.4g}"),
      batch=run.batch_size,
      seed=run.seed,
      frames=frames,
      tokens=frames * model.tokens,
      epochs=frames / self._data_frames,
      flops=steps * step_flops,
      spent=0.0,
      hours=0.0,
    )

  def _check_size(self, name, model, steps, exact):
    least = self._rule.least_steps
    if steps < least:
      raise UserError(
        f"budget {name} is too small: it pays for {steps} steps of the size of "
        f"width {model.width}, fewer than ladder.least_steps = {least}; take a "
        "larger budget, a smaller run.batch_size or more frames_per_param"
      )
    if abs(steps / exact - 1) > TOLERANCE:
      raise UserError(
        f"budget {name}: whole steps of the size of width {model.width} miss "
        f"it by more than {TOLERANCE:.0%}; take a smaller run.batch_size"
      )
    warmup = self._config.run.optimizer.warmup_steps
    if warmup > steps / 2:
      raise UserError(
        f"budget {name}: {warmup} warm-up steps are more than half of the "
        f"{steps} steps of the size of width {model.width}; set "
        "run.optimizer.warmup_steps lower"
      )
    averaged = 1 / (1 - self._config.run.ema_decay)
    if averaged > self._rule.cooldown * steps / 2:
      raise UserError(
        f"budget {name}: the average over {averaged:.0f} steps reaches back "
        f"beyond the cool-down of {self._rule.cooldown * steps:.0f} steps of "
        f"the size of width {model.width}; set run.ema_decay lower"
      )
    memory = self._machine.memory
    need = sum(parameters(model).values()) * _STATE_BYTES
    if memory is not None and need > memory * self._machine.devices:
      raise UserError(
        f"budget {name} is too large: parameters and moments of the size of "
        f"width {model.width} take {need / 2**30:.0f} GiB, and "
        f"{self._machine.devices} x {self._machine.name} have "
        f"{memory * self._machine.devices / 2**30:.0f}; take more devices"
      )


def _with_hours(cells, machine):
  """The cells with what each costs once shorter runs of its size are done."""
  done, priced = {}, {}
  for cell in sorted(cells, key=lambda cell: cell.steps):
    fresh = cell.steps - done.get(cell.size, 0)
    done[cell.size] = cell.branch
    spent = cell.flops * fresh / cell.steps
    priced[cell.name] = dataclasses.replace(
      cell, spent=spent, hours=machine.hours(spent)
    )
  return [priced[cell.name] for cell in cells]
