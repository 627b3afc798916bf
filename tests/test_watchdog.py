"""A run that stands still is ended, with the place; one that moves is not."""

import os
import pathlib
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import stalled_run
from tiny import train

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.processes.watchdog import STATUS, Watchdog, WatchdogConfig
from eartalk_jax.telemetry.events import read_events
from eartalk_jax.telemetry.goodput import goodput

TESTS = pathlib.Path(__file__).parent
STEP, SAVE = ("step",), ("step", "checkpoint")


class Watched:
  """A Watchdog that looks every second at a run that is told what to do."""

  def __init__(self, tmp_path, **config):
    config = {"factor": 10, "least_seconds": 30, "phase_seconds": 100} | config
    self.events = types.SimpleNamespace(position=((), None))
    self.dog = Watchdog(WatchdogConfig(**config), tmp_path, self.events)
    # From 0, so that whole seconds add up without rounding.
    self.now = self.dog._then = 0.0

  def seconds(self, count, phases=None, step=None):
    """Nothing moves for `count` looks; returns which of them called it."""
    old_phases, old_step = self.events.position
    phases = old_phases if phases is None else phases
    self.events.position = phases, old_step if step is None else step
    called = []
    for second in range(count):
      self.now += 1
      if self.dog.stalled(self.now):
        called.append(second)
    return called

  def steps(self, first, last, seconds):
    for step in range(first, last):
      assert not self.seconds(seconds, STEP, step)


def test_a_step_may_take_so_many_medians(tmp_path):
  run = Watched(tmp_path)
  run.steps(0, 20, seconds=5)
  # One slow step is allowed, and does not move the median.
  assert not run.seconds(45, STEP, 20)
  assert run.seconds(60, STEP, 21)[0] == 51


def test_a_fast_step_may_take_the_least_seconds(tmp_path):
  run = Watched(tmp_path)
  run.steps(0, 20, seconds=1)
  assert run.seconds(40)[0] == 30


def test_many_steps_between_two_looks_are_divided(tmp_path):
  run = Watched(tmp_path, least_seconds=20)
  for step in range(0, 1000, 50):
    assert not run.seconds(1, STEP, step)
  assert run.dog.allowed(STEP) == 20
  assert max(run.dog._seconds) == pytest.approx(0.02)


def test_the_first_steps_and_all_that_is_no_step_may_take_longer(tmp_path):
  run = Watched(tmp_path)
  assert not run.seconds(99, ("restore",))
  run.steps(0, 5, seconds=1)
  assert not run.seconds(90)
  run.steps(6, 26, seconds=1)
  assert not run.seconds(90, SAVE)
  # The same phase once more starts anew, and so does the step after it.
  assert not run.seconds(90, (*SAVE,))
  assert not run.seconds(20, (*STEP,))
  assert run.seconds(120, SAVE)[0] == 101
  # Of all that only the slow steps, 4 to 6, count as steps.
  assert [x for x in run.dog._seconds if x > 1] == [(1 + 90) / 2]


def test_a_machine_that_slept_is_no_stall(tmp_path):
  run = Watched(tmp_path)
  run.steps(0, 20, seconds=1)
  run.now += 1e6
  assert not run.seconds(20)


def test_a_stalled_run_is_ended_with_its_stacks_and_goes_on(tmp_path):
  whole = train(tmp_path / "whole", stalled_run.config())
  workdir = tmp_path / "run"
  process = subprocess.run(
    [sys.executable, "stalled_run.py", str(workdir)],
    cwd=TESTS,
    env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
    capture_output=True,
    text=True,
    timeout=240,
  )
  assert process.returncode == STATUS, process.stderr
  (path,) = (workdir / "stalls").iterdir()
  for text in (process.stderr, path.read_text()):
    assert f"stands still at step {stalled_run.STALL - 1} (step) for" in text
    assert "allowed are 5 s" in text and "run the same command" in text
    assert "in wait_for_ever" in text and "in fit" in text
  (attempt,) = goodput(read_events(workdir)).attempts
  assert attempt.how == "stalled"
  state = train(workdir, stalled_run.config())
  jax.tree.map(np.testing.assert_array_equal, state, whole)


def test_a_factor_of_zero_starts_no_thread(tmp_path):
  run = Watched(tmp_path, factor=0)
  with run.dog:
    assert not run.dog._thread.is_alive()


def test_nonsense_is_refused():
  with pytest.raises(UserError, match="least_seconds is 0.0; give"):
    from_config(WatchdogConfig, {"least_seconds": 0})
