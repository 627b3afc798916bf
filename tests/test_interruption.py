"""SIGTERM and Ctrl-C in one process, whatever it does."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from tiny import Batches, run_config, train

ROOT = pathlib.Path(__file__).parents[1]
# A call that never comes back to Python, as a compilation may for an hour.
_STUCK = """
  lock = (ctypes.c_char * 64)()
  libc = ctypes.CDLL(None)
  libc.pthread_mutex_lock(lock)
  print("ready", flush=True)
  libc.pthread_mutex_lock(lock)
"""
_WRITING = """
  with files.replacing("made") as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
_STUBBORN = """
  try:
    print("ready", flush=True)
    time.sleep(60)
  finally:
    time.sleep(60)
"""
_PARENT = """
  from launch.watched import run_watched
  child = "import signal, sys, time, pathlib;"
  child += "save = lambda *_: (pathlib.Path('saved').touch(), sys.exit(143));"
  child += "signal.signal(signal.SIGTERM, save);"
  child += "print('ready', flush=True); time.sleep(60)"
  run_watched(["-c", child], lambda *told: None)
"""


def command(body, folder):
  """Starts a command with that body; returns once it is in it."""
  code = f"""
import ctypes, time
from eartalk_jax import files
from eartalk_jax.processes.interruption import phase
from launch import cli

@phase("some work")
def main():
{body}

cli.run(main)
"""
  process = subprocess.Popen(
    [sys.executable, "-c", code],
    cwd=folder,
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "ready\n"
  return process


@pytest.mark.parametrize("body", [_STUCK, _WRITING])
def test_sigterm_ends_a_command_with_143_and_a_line(tmp_path, body):
  process = command(body, tmp_path)
  process.terminate()
  _, errors = process.communicate(timeout=30)
  assert process.returncode == 143, errors
  assert "served: SIGTERM during some work" in errors
  assert "Traceback" not in errors
  assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_a_command_lets_its_own_command_save(tmp_path):
  process = command(_PARENT, tmp_path)
  process.terminate()
  process.communicate(timeout=30)
  assert process.returncode == 143
  assert (tmp_path / "saved").exists()


def test_a_second_ctrl_c_interrupts_whatever_goes_on(tmp_path):
  process = command(_STUBBORN, tmp_path)
  process.send_signal(signal.SIGINT)
  with pytest.raises(subprocess.TimeoutExpired):
    process.communicate(timeout=1)
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=30)
  assert process.returncode == 130


class Signalling(Batches):
  """Sends this process a signal before a batch."""

  def __init__(self, at, number):
    super().__init__()
    self.at, self.number = at, number

  def batch(self, step):
    if step == self.at:
      os.kill(os.getpid(), self.number)
    return super().batch(step)


class Noticed(Signalling):
  """And waits until that is recorded, however busy the machine is."""

  def __init__(self, at, number, workdir):
    super().__init__(at, number)
    self.workdir = workdir

  def batch(self, step):
    batch = super().batch(step)
    deadline = time.monotonic() + 60
    while step == self.at and time.monotonic() < deadline:
      if any(e["kind"] == "signal" for e in events(self.workdir)):
        break
      time.sleep(0.01)
    return batch


def events(workdir):
  lines = (workdir / "events.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
  "number, exception",
  [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)],
)
def test_a_signal_between_steps_is_served_by_a_save(
  tmp_path, capfd, number, exception
):
  with pytest.raises(exception) as ended:
    train(tmp_path, batches=Noticed(3, number, tmp_path))
  if exception is SystemExit:
    assert ended.value.code == 143
  name = signal.Signals(number).name
  said = capfd.readouterr().err
  assert f"served: {name} during training" in said
  kinds = [e["kind"] for e in events(tmp_path)]
  assert kinds.index("signal") < kinds.index("served") < kinds.index("stop")
  saved = [int(p.name) for p in (tmp_path / "checkpoints").iterdir()]
  assert 3 <= max(saved) <= 5

  train(tmp_path)
  assert "missed" not in capfd.readouterr().err


def test_a_signal_before_the_first_step_ends_at_once(tmp_path, capfd):
  with pytest.raises(SystemExit) as ended:
    train(tmp_path, batches=Signalling(0, signal.SIGTERM))
  assert ended.value.code == 143
  said = capfd.readouterr().err
  assert "during first batch and compiling" in said
  assert "nothing new to save" in said
  assert not list((tmp_path / "checkpoints").iterdir())


def test_the_next_start_tells_of_a_signal_that_was_missed(tmp_path, capfd):
  class Killed(Exception):
    pass

  class Dying(Noticed):
    def batch(self, step):
      batch = super().batch(step)
      if step == self.at:
        raise Killed
      return batch

  with pytest.raises(Killed):
    dying = Dying(5, signal.SIGTERM, tmp_path)
    train(tmp_path, run_config(save_every=3), batches=dying)
  capfd.readouterr()
  train(tmp_path, run_config(save_every=3))
  said = capfd.readouterr().err
  assert "missed: SIGTERM came after step" in said
  assert "goes on from step 3" in said
  train(tmp_path, run_config(save_every=3))
  assert "missed" not in capfd.readouterr().err, "told once"


def test_handlers_are_given_back(tmp_path):
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  train(tmp_path, run_config(steps=1))
  after = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert before == after
