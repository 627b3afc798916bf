"""A run of the tiny regression to be killed: python slow_run.py WORKDIR."""

import sys
import time

import conftest  # noqa: F401  (the same devices)
from tiny import Batches, run_config, train


class Slow(Batches):
  """Leaves the killer some time."""

  def iterate(self, step):
    for batch in super().iterate(step):
      time.sleep(0.05)
      yield batch


def config():
  return run_config(steps=36, save_every=2)


if __name__ == "__main__":
  train(sys.argv[1], config(), batches=Slow())
