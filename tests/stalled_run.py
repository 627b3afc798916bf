"""A run whose data stop coming: python stalled_run.py WORKDIR."""

import sys
import time

import conftest  # noqa: F401  (the same devices)
from tiny import Batches, run_config, train

from eartalk_jax.processes.watchdog import WatchdogConfig

# The step whose batch never comes.
STALL = 27


class Stalling(Batches):
  """Slow enough to have a median, then stuck."""

  def iterate(self, step):
    for batch in super().iterate(step):
      step += 1
      if step == STALL:
        wait_for_ever()
      time.sleep(0.1)
      yield batch


def wait_for_ever():
  """Hangs with Python's lock released, as JAX's waits do."""
  time.sleep(1e6)


def config():
  watchdog = WatchdogConfig(factor=5.0, least_seconds=5.0)
  return run_config(steps=30, save_every=10, watchdog=watchdog)


if __name__ == "__main__":
  train(sys.argv[1], config(), batches=Stalling())
