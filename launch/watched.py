"""Runs a command and watches its time and memory."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import psutil

_LOOK_EVERY_S = 0.5
_TELL_EVERY_S = 5.0
_PR_SET_PDEATHSIG = 1


def run_watched(command, tell):
  """Runs `python COMMAND...`; its output goes where ours goes.

  The command does not outlive this process, however that ends.

  Args:
    command: arguments of the Python interpreter.
    tell: called every few seconds and at the end with the seconds so far and
      the largest memory seen, in GB: resident sizes of this process and all
      below it, added up; pages that they share count several times.

  Returns:
    The exit status.
  """
  began = told = time.monotonic()
  peak = 0.0
  process = subprocess.Popen(
    [sys.executable, *command],
    env=os.environ | {"PYTHONUNBUFFERED": "1"},
    preexec_fn=_die_with_parent,
  )
  try:
    while process.poll() is None:
      peak = max(peak, tree_gb())
      now = time.monotonic()
      if now - told > _TELL_EVERY_S:
        told = now
        tell(now - began, peak)
      time.sleep(_LOOK_EVERY_S)
  except (KeyboardInterrupt, SystemExit) as end:
    if isinstance(end, SystemExit):
      process.terminate()  # Ctrl-C, unlike SIGTERM, it was sent as well
    process.wait()  # it saves what it has
    raise
  finally:
    tell(time.monotonic() - began, peak)
  return process.returncode


def tree_gb():
  """Resident memory of this process and of all that it started, in GB."""
  ours = psutil.Process()
  total = 0
  for process in [ours, *ours.children(recursive=True)]:
    try:
      total += process.memory_info().rss
    except psutil.Error:
      continue  # it has just ended
  return total / 2**30


def _die_with_parent():
  """Asks Linux to kill this process when its parent ends."""
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
