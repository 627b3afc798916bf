"""How a run goes, and which of it its numbers depend on."""

import dataclasses
import json

from eartalk_jax.config import check_range, to_dict
from eartalk_jax.optimization.optimizer import OptimizerConfig
from eartalk_jax.processes.watchdog import WatchdogConfig
from eartalk_jax.training.guard import GuardConfig
from eartalk_jax.training.sharding import MeshConfig

_MOST_STEPS = 2**31 - 1  # they are counted in 32 bits


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """How long, how fast and how often; counts are steps.

  Attributes:
    keep: so many of the last checkpoints stay.
    keep_every: the checkpoints of its multiples stay for ever; 0 for none.
    max_failed_saves: a run whose saves fail so often in a row stops.
    start_from: "WORKDIR@STEP" of another run that was the same so far; a new
      work directory begins there, such as to cool down from a long run.
    allow_resize: go on with another number of processes; only rounding
      changes.
    accumulate: microbatches that make a batch, one after another, for want of
      memory.
    guard: which steps are skipped, and when a run is lost.
    watchdog: when a run stands still and is ended.
  """

  steps: int
  batch_size: int
  optimizer: OptimizerConfig
  seed: int = 0
  ema_decay: float = 0.999
  log_every: int = 50
  save_every: int = 500
  diagnose_every: int = 500
  keep: int = 2
  keep_every: int = 0
  max_failed_saves: int = 3
  start_from: str = ""
  allow_resize: bool = False
  mesh: MeshConfig = MeshConfig()
  accumulate: int = 1
  guard: GuardConfig = GuardConfig()
  watchdog: WatchdogConfig = WatchdogConfig()

  def __post_init__(self):
    counts = ("steps", "log_every", "save_every", "diagnose_every", "keep")
    check_range(self, 1, _MOST_STEPS, *counts, "max_failed_saves")
    check_range(self, 1, 10**9, "batch_size", "accumulate")
    check_range(self, 0, 2**32 - 1, "seed")
    if self.keep_every < 0 or self.keep_every % self.save_every:
      raise ValueError("keep_every must be a multiple of save_every")
    if not 0 <= self.ema_decay < 1:
      raise ValueError("ema_decay must lie in [0, 1)")
    optimizer = self.optimizer
    short = optimizer.warmup_steps + optimizer.decay_steps - self.steps
    if optimizer.decay_steps and short > 0:
      raise ValueError(
        f"optimizer.warmup_steps and decay_steps are {short} more than the "
        f"{self.steps} steps"
      )


# What may change while a run goes on: no number depends on it, except for
# the rounding that another mesh brings and the steps that a guard skips.
FREE = (
  "log_every",
  "save_every",
  "diagnose_every",
  "keep",
  "keep_every",
  "max_failed_saves",
  "start_from",
  "allow_resize",
  "mesh",
  "guard.sigmas",
  "guard.streak",
  "watchdog",
)


def run_fingerprint(run, batches, extra):
  """All that the numbers of a run depend on, as JSON would give it back."""
  settings = _without_free(to_dict(run))
  fingerprint = {"run": settings, "data": batches.fingerprint, **extra}
  return json.loads(json.dumps(to_dict(fingerprint)))


def _without_free(settings, path=""):
  if not isinstance(settings, dict):
    return settings
  return {
    name: _without_free(value, f"{path}{name}.")
    for name, value in settings.items()
    if path + name not in FREE
  }
