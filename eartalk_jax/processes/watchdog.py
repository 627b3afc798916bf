"""A thread that ends a process whose run no longer moves, and says where.

A hang has no error: a collective that waits for a lost host, a file system that
does not answer. Nothing can be unwound then, so the process writes the stacks
of all its threads and leaves with a status that says "try again"; the last
checkpoint is where the run goes on.

The thread asks the event log for the run's position and never asks JAX. It
cannot run while other code holds Python's lock: such a hang is for the
watchdogs of the other hosts, whose steps stand still as well.
"""

import collections
import contextlib
import dataclasses
import faulthandler
import os
import pathlib
import statistics
import sys
import threading
import time

import jax

from eartalk_jax.config import check_range
from eartalk_jax.errors import UserError

# Of a process that was ended: EX_TEMPFAIL of sysexits.h.
STATUS = 75
# Before so many durations there is no median to go by.
_FEWEST, _MOST = 8, 64
# Seconds: between two looks; for the last words, which may hang as well.
_TICK, _GRACE = 1.0, 20.0
_STDERR = 2


@dataclasses.dataclass(frozen=True)
class WatchdogConfig:
  """How long a run may stand still; times in seconds.

  Attributes:
    factor: of the median step: how long a step may take; 0 for no watchdog,
      such as for a debugger.
    least_seconds: a step may take so long in any case.
    phase_seconds: and so long may last what is no step, such as a compilation,
      a save or an evaluation, and the first steps, too.
  """

  factor: float = 20.0
  least_seconds: float = 300.0
  phase_seconds: float = 3600.0

  def __post_init__(self):
    check_range(self, 0, 1e9, "factor")
    check_range(self, 1e-3, 1e9, "least_seconds", "phase_seconds")


class Watchdog:
  """Watches an EventLog while active; a context manager."""

  def __init__(self, config, workdir, events):
    """Will write to WORKDIR/stalls."""
    self._config, self._events = config, events
    self._directory = pathlib.Path(workdir) / "stalls"
    self._process = jax.process_index()
    self._seconds = collections.deque(maxlen=_MOST)  # of the last steps
    self._tick = min(_TICK, config.least_seconds / 20)
    self._position, self._still = events.position, 0.0
    self._then = time.monotonic()
    self._done = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self):
    if self._config.factor:
      self._thread.start()
    return self

  def __exit__(self, *unused):
    self._done.set()
    if self._thread.is_alive():
      self._thread.join()

  def allowed(self, phases):
    """For how many seconds nothing may change while in `phases`."""
    if phases[-1:] != ("step",) or len(self._seconds) < _FEWEST:
      return self._config.phase_seconds
    median = statistics.median(self._seconds)
    return max(self._config.factor * median, self._config.least_seconds)

  def stalled(self, now):
    """Looks at the run; says whether it has stood still for too long.

    Args:
      now: seconds of a clock that never goes back.
    """
    position = self._events.position
    # However long the machine itself slept, the run did not stand still.
    self._still += min(now - self._then, 2 * self._tick)
    self._then = now
    (phases, step), (before, last) = position, self._position
    if phases is before and step == last:
      return self._still > self.allowed(phases)
    # What else was done is no step's time.
    if phases is before and phases[-1:] == ("step",):
      self._seconds.append(self._still / (step - last))
    self._position, self._still = position, 0.0
    return False

  def _watch(self):
    while not self._done.wait(self._tick):
      if self.stalled(time.monotonic()):
        self._end()

  def _end(self):
    text = self._text()
    # Unless the words below come to an end, this is the end.
    threading.Timer(_GRACE, os._exit, (STATUS,)).start()
    os.write(_STDERR, text.encode())
    faulthandler.dump_traceback(_STDERR)
    with contextlib.suppress(OSError):
      self._directory.mkdir(parents=True, exist_ok=True)
      with open(self._path(), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        faulthandler.dump_traceback(file)
    with contextlib.suppress(UserError):
      self._events.write("stop", everywhere=True, how="stalled")
    sys.stdout.flush()
    os._exit(STATUS)

  def _text(self):
    phases, step = self._position
    where = phases[-1] if phases else "start-up"
    when = "before the first step" if step is None else f"at step {step}"
    median = statistics.median(self._seconds) if self._seconds else 0
    allowed = self.allowed(phases)
    return (
      f"watchdog: process {self._process} stands still {when} ({where}) for "
      f"{self._still:.0f} s; allowed are {allowed:.0f} s, and a step takes "
      f"{median:.3g} s. The stacks of all threads follow, and are in "
      f"{self._path()}. Ending with status {STATUS}: run the same command to "
      "continue from the last checkpoint; if nothing was wrong, raise the "
      "seconds of run.watchdog\n"
    )

  def _path(self):
    step = self._position[1] or 0
    name = f"step{step}-process{self._process}-{os.getpid()}.txt"
    return self._directory / name
