"""A tiny run that kills itself: python pulse.py WORKDIR STEP.

After STEP steps it says nothing for some time and is then killed; with step 0
it goes on to the end, and prints when that was.
"""

import os
import signal
import sys
import time

import conftest  # noqa: F401  (the same devices)
import jax.numpy as jnp
from tiny import Batches, run_config, train

from eartalk_jax.telemetry import events

workdir, last = sys.argv[1], int(sys.argv[2])
events.BEAT = 0.1


class Mortal(Batches):
  """Ends the process, as kill -9 does, when asked for one batch too many."""

  def iterate(self, step):
    for number, batch in enumerate(super().iterate(step), step):
      time.sleep(0.02)
      if last and number == last:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
      yield batch


train(
  workdir,
  run_config(steps=40, save_every=10),
  batches=Mortal(),
  diagnose=lambda *unused: {"one": jnp.ones(())},
)
print(time.time())
