"""SIGTERM and Ctrl-C end a run between two steps, after it was saved."""

import signal
import sys
import threading

import jax
from jax.experimental import multihost_utils


class Interruption:
  """Remembers a signal while active; a second Ctrl-C interrupts at once.

  With several processes JAX's preemption service listens for SIGTERM and makes
  all of them stop at the same step.
  """

  def __init__(self):
    self._signal = None
    self._before = {}

  def __enter__(self):
    main = threading.current_thread() is threading.main_thread()
    if main and jax.process_count() == 1:
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._remember)
    return self

  def __exit__(self, *unused):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def requested(self, step):
    """Whether to save and stop after this step."""
    if jax.process_count() > 1:
      stop = multihost_utils.reached_preemption_sync_point(step)
      self._signal = signal.SIGTERM if stop else None
    return self._signal is not None

  def obey(self, message):
    """Ends the program if a signal came: status 130 or 143, after a message.

    Raises:
      KeyboardInterrupt, SystemExit
    """
    if self._signal is None:
      return
    print(f"{message}; run the same command to continue", file=sys.stderr)
    if self._signal == signal.SIGINT:
      raise KeyboardInterrupt
    sys.exit(128 + signal.SIGTERM)

  def _remember(self, number, frame):
    if self._signal is not None:
      raise KeyboardInterrupt
    self._signal = number
    print("stopping after this step", file=sys.stderr, flush=True)
