"""Which run a work directory holds, and which one may go on with it.

A run is a function of its configuration and its data. So it may go on where
all that its numbers depend on is the same, or has been the same so far: the
learning rate's future is free, its past is not.
"""

import pathlib
import re

import jax.numpy as jnp
import numpy as np

from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  committed_steps,
  require_step,
)
from eartalk_jax.config import describe, differences, from_config
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import OptimizerConfig, learning_rate

# What shapes the learning rate after a constant stretch.
_SCHEDULE = (
  "run.steps",
  "run.optimizer.decay",
  "run.optimizer.decay_steps",
  "run.optimizer.end_lr_fraction",
)


def read_run(workdir):
  """The resolved configuration of a run.

  Raises:
    UserError: there is none, or it is damaged.
  """
  path = pathlib.Path(workdir) / "config.json"
  if not path.is_file():
    raise UserError(
      f"{workdir} is not the work directory of a run (no config.json); give "
      "the --workdir of python -m launch.train"
    )
  run = read_json(path, "it is damaged: copy it again")
  match run:
    case {"model": dict(), "categories": dict(named)} if all(
      isinstance(names, list) and all(isinstance(name, str) for name in names)
      for names in named.values()
    ):
      return run
  raise UserError(
    f"{path} is damaged (no model and categories of a run); copy it again"
  )


def check_same_run(saved, current, step, workdir, free=()):
  """Raises UserError if a run cannot go on as another after `step` steps.

  Args:
    saved, current: dictionaries; {"run": {"steps": ..., "optimizer": ...}} in
      them is compared by the learning rates of the steps that are done.
    step: how many those are.
    workdir: where `saved` is from.
    free: dotted keys that may differ.
  """
  if not isinstance(saved, dict):
    raise UserError(
      f"what {workdir} says of its run is damaged (no dictionary); copy it "
      "again"
    )
  changes = differences(saved, current, free)
  if any(key in _SCHEDULE for key, *_ in changes):
    before, now = _rates(saved, step), _rates(current, step)
    if before is not None and np.array_equal(before, now):
      changes = [change for change in changes if change[0] not in _SCHEDULE]
  if changes:
    raise UserError(
      f"{workdir} holds a run of another configuration: {describe(changes)}; "
      "set that back, or choose another --workdir or run.start_from"
    )


def parse_start(text):
  """("WORKDIR@STEP") -> WORKDIR/checkpoints/STEP.

  Raises:
    UserError: it does not read so, or no such step is there.
  """
  match = re.fullmatch(r"(.+)@([0-9]{1,10})", text)
  if not match:
    raise UserError(
      f"config: run.start_from is {text!r}; write it as WORKDIR@STEP"
    )
  directory, step = checkpoints_of(match[1]), int(match[2])
  require_step(step, committed_steps(directory), directory)
  return directory / str(step)


def _rates(config, step):
  """The learning rate of each of the first `step` steps, as configured.

  None if it does not say so: then no two are the same.
  """
  try:
    run = config["run"]
    optimizer = from_config(OptimizerConfig, run["optimizer"])
    rate = learning_rate(optimizer, run["steps"])
    return np.asarray(rate(jnp.arange(step)))
  except (UserError, LookupError, TypeError, ValueError, OverflowError):
    return None
