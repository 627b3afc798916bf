"""SIGTERM and Ctrl-C are obeyed in every phase, by all processes together.

  before the first step   nothing would be lost: the command ends at once
  between steps           it ends after the next step that all processes agree
                          on, when that is saved
  after the last step     at once, when everything is saved

Python calls a signal's handler between two of its own instructions, and a
compilation can keep it from them for an hour. So a thread hears of signals as
well, through the file that Python itself writes to, and ends the process if
need be. Among several processes a second thread looks for what the others were
told, and agrees with them on the step to stop at.

Exit statuses: 143 after SIGTERM, 130 after Ctrl-C. A second Ctrl-C interrupts
at once, saved or not.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import threading
import time

import jax

from eartalk_jax.errors import UserError
from eartalk_jax.processes.company import AFTER, BEFORE, Company

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds that the main thread has to come back to Python.
_PATIENCE = 3.0
# Seconds between looks at what the other processes were told.
_LOOK_EVERY = 0.5

_active = None


@contextlib.contextmanager
def listening():
  """Yields the Listener, which listens while the body of the first call runs.

  Only the main thread can handle signals: in another one it listens to the
  other processes alone.
  """
  global _active
  if _active is not None:
    yield _active
    return
  _active = Listener()
  try:
    with _active:
      yield _active
  finally:
    _active = None


@contextlib.contextmanager
def phase(name):
  """Says what is going on, for whoever interrupts it."""
  listener = _active
  if listener is None:
    yield
    return
  before, listener.phase = listener.phase, name
  try:
    yield
  finally:
    listener.phase = before


@dataclasses.dataclass(frozen=True)
class Told:
  """A signal: its number, in which phase it came, to whom and when."""

  number: int
  phase: str
  by: str = ""
  when: float = dataclasses.field(default_factory=time.monotonic)

  @property
  def name(self):
    """SIGTERM or SIGINT."""
    return signal.Signals(self.number).name


class Listener:
  """Hears of signals and decides what becomes of the first.

  Attributes:
    phase: what is going on.
    record: called with (kind, **fields) when a signal came and was served.
  """

  def __init__(self):
    self.phase, self.record = "start-up", lambda kind, **fields: None
    self._position, self._target = BEFORE, None
    self._told = None
    self._calls = 0
    self._company, self._served = None, False
    self._lock = threading.Lock()
    self._woken, self._done = threading.Event(), threading.Event()
    self._delivered = threading.Event()
    self._threads, self._before = [], {}

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      self._ear, self._mouth = socket.socketpair()
      self._mouth.setblocking(False)
      self._fd_before = signal.set_wakeup_fd(self._mouth.fileno())
      for number in _SIGNALS:
        self._before[number] = signal.signal(number, self._in_main_thread)
      self._start(self._listen)
    return self

  def __exit__(self, *unused):
    if self._company is not None:
      self._company.tell_position(AFTER)
    self._done.set()
    self._woken.set()
    if self._before:
      signal.set_wakeup_fd(self._fd_before)
      for number, handler in self._before.items():
        signal.signal(number, handler)
      self._mouth.close()
    for thread in self._threads:
      thread.join()

  def join(self):
    """Listens to the other processes as well, once JAX has met them."""
    if self._company is None:
      self._company = Company()
      self._start(self._follow)

  @contextlib.contextmanager
  def training(self, record):
    """While the body runs, signals are recorded and wait for `requested`."""
    if jax.process_count() > 1:
      self.join()
    self.record, self._position = record, BEFORE
    try:
      yield
    finally:
      with self._lock:
        self._position, self.phase = AFTER, "what follows the training"

  def requested(self, step):
    """Whether to save and stop after this step; the same on all processes."""
    with self._lock:
      self._position, self.phase = step, "training"
      return self._target is not None and step >= self._target

  def obey(self, saved):
    """Ends the program if a signal came; `saved` says what was saved.

    Raises:
      KeyboardInterrupt, SystemExit
    """
    if self._told is not None:
      self._serve(saved)
      raise _exception(self._told.number)

  def fail(self, message, status):
    """Ends all processes, if there are several, by this one's error."""
    if self._company is not None and not self._served:
      self._company.fail(message, status)
      self._end(status)

  def leave(self, status):
    """Ends an interrupted process at once, unless others would miss it.

    A compiler's or a loader's threads may be at work, and would crash when
    Python takes itself apart around them.
    """
    if self._company is None:
      self._end(status)

  def _start(self, function):
    self._threads.append(threading.Thread(target=function, daemon=True))
    self._threads[-1].start()

  def _in_main_thread(self, number, frame):
    self._calls += 1
    if self._calls > 1 and number == signal.SIGINT:
      self._delivered.set()
      raise KeyboardInterrupt
    if self._company is None and self._position < 0:
      self._delivered.set()
      if self._told is None:
        self._told = Told(number, self.phase)
      self._serve("nothing new to save")
      raise _exception(number)

  def _listen(self):
    """Hears of this process's signals, whatever the main thread does."""
    while number := self._ear.recv(1):
      number = number[0]
      if number not in _SIGNALS:
        continue
      if self._told is None:
        self._told = Told(number, self.phase)
        self._first(number)
      elif number == signal.SIGINT:
        self._give_up_on_main_thread(number)
    self._ear.close()

  def _first(self, number):
    if self._company is not None:
      self._company.announce(signal=number)
      self._woken.set()
      return
    with self._lock:
      if self._position >= 0:
        self._stop_after(self._position + 1)
        return
    self._give_up_on_main_thread(number)

  def _give_up_on_main_thread(self, number):
    if not self._delivered.wait(_PATIENCE):
      self._serve_and_end(number)

  def _follow(self):
    """Hears of what all processes were told."""
    name = "notice"
    while not self._done.is_set():
      told = self._company.look(name)
      if told is None:
        self._woken.wait(_LOOK_EVERY)
        self._woken.clear()
        continue
      if "failed" in told:
        _say(f"{told['by']} ended: {told['failed']}; so does this one")
        self._end(told["status"])
      if self._told is None:
        by = f" on {told['by']}"
        self._told = Told(told["signal"], self.phase, by)
      self._agree(told["signal"])
      name = "failed"

  def _agree(self, number):
    # No step passes while it is not known which is the last.
    with self._lock:
      self._company.tell_position(self._position)
      if self._position >= 0:
        positions = self._company.positions()
        if BEFORE not in positions:
          self._stop_after(max(positions) + 1)
          return
      self._serve_and_end(number)

  def _serve_and_end(self, number):
    self._serve("nothing new to save")
    # What `with` statements would have written.
    self._write("stop", how=signal.Signals(number).name)
    self._end(128 + number)

  def _stop_after(self, step):
    self._target = step
    told = self._told
    self._write("signal", signal=told.name, step=self._position)
    _say(f"{told.name}{told.by}: saving and stopping after step {step}")

  def _serve(self, saved):
    self._served = True
    told, seconds = self._told, time.monotonic() - self._told.when
    self._write("served", signal=told.name, seconds=round(seconds, 3))
    _say(
      f"served: {told.name}{told.by} during {told.phase}, {seconds:.1f} s ago: "
      f"{saved}; run the same command to continue"
    )

  def _write(self, kind, **fields):
    with contextlib.suppress(UserError):  # a full disk must keep nobody
      self.record(kind, **fields)

  def _end(self, status):
    """Ends the process, in whatever state its main thread is."""
    if sys.stdout.isatty():
      os.write(1, b"\x1b[?25h")  # a progress bar hides the cursor
    if self._company is not None:
      self._company.leave()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _exception(number):
  if number == signal.SIGINT:
    return KeyboardInterrupt()
  return SystemExit(128 + number)


def _say(text):
  # A handler must not write to a stream that it may have interrupted.
  os.write(2, f"{text}\n".encode())
