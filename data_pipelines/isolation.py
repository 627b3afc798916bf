"""Work that may end its process, done in another one.

A decoder that is given a hostile file may crash, loop or take all memory. Here
it does so in a child, and the parent hears what happened, as a `Crash`. The
child guards against accidents; it is no jail for programs that mean harm.

  apart(count_frames, path)                  one value
  pieces_apart(stream_samples, path, rate)   a generator, in bounded memory
  Isolated().pieces(function, ...)           one child for many calls

Functions are found by name, and what goes in and out is pickled. A child costs
the start of Python and the imports of the function's module.
"""

import contextlib
import dataclasses
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import threading

from data_pipelines.child import SMALL, receive, send
from eartalk_jax.errors import UserError

# Seconds from one look at a child to the next.
_LOOK_EVERY = 0.1
# Seconds for the first call of a child, which may load a detector's weights.
_FIRST_S = 600.0
# Signals by which people and systems end processes: no fault of a file.
_TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Crash(Exception):
  """A child that did not live to finish its work.

  Attributes:
    reason: "crashed", "too_slow" or "too_much_memory".
    detail: what happened, to be read after the name of a file.
  """

  def __init__(self, reason, detail):
    super().__init__(reason, detail)
    self.reason, self.detail = reason, detail


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a call may take.

  Attributes:
    seconds: that the parent waits for the next piece, or for `child.alive`.
    memory: bytes in use, without what `first` loaded. What counts are pages,
      of which a machine runs out, and not address space, which threads reserve
      by the gigabyte; and libraries that are refused memory abort. Watched on
      Linux only.
  """

  seconds: float = 60.0
  memory: int = 4 << 30


DEFAULT = Limits()


def apart(function, path, *args, limits=DEFAULT):
  """What `function(path, *args)` returns, worked out in a child.

  Raises:
    UserError: the child crashed or went beyond the limits. What the function
      raises is raised here.
  """
  (value,) = _named(path, _only, (function, path, *args), limits)
  return value


def pieces_apart(function, path, *args, limits=DEFAULT):
  """Yields what `function(path, *args)` yields in a child; raises as `apart`.

  The child waits while nobody takes its pieces, and ends with the generator.
  """
  yield from _named(path, function, (path, *args), limits)


def _named(path, function, args, limits):
  """Yields a call's pieces; its crash is a UserError that names the path."""
  child = Isolated()
  try:
    yield from child.pieces(function, *args, limits=limits)
  except Crash as crash:
    raise UserError(
      f"{path} cannot be read: its decoder {crash.detail}; give another file"
    ) from None
  finally:
    child.close()


def _only(function, *args):
  yield function(*args)


class Isolated:
  """A child for one call after another, and another child after each crash.

  Args:
    first: (function, *args) to call once in every child before anything else,
      to load what all calls need; None for nothing.
    name: what that loads, for messages.
  """

  def __init__(self, first=None, name=""):
    self._first, self._name, self._child = first, name, None

  def pieces(self, function, *args, limits=DEFAULT):
    """Yields what the generator function yields in the child.

    Raises:
      Crash: the child did not finish.
      UserError: it was told to end by somebody else. What the function raises
        is raised here.
    """
    if self._child is None or self._child.has_ended():
      self.close()
      self._start()
    yield from self._call(function, args, limits)

  def close(self):
    """Ends the child, if there is one."""
    if self._child is not None:
      self._child.end()
      self._child = None

  def _start(self):
    self._child = _Child()
    if self._first is None:
      return
    function, *args = self._first
    try:
      list(self._call(_only, (function, *args), Limits(_FIRST_S, sys.maxsize)))
    except Crash as crash:
      raise UserError(
        f"{self._name}: the process that loads it {crash.detail}; repair it"
      ) from None
    self._child.settle()

  def _call(self, function, args, limits):
    child = self._child
    try:
      yield from child.call(function, args, limits)
    finally:
      if not child.is_idle:
        self.close()


class _Child:
  """A process that serves calls, and the thread that watches it."""

  def __init__(self):
    self._socket, theirs = socket.socketpair()
    with theirs:
      code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from data_pipelines.child import serve; "
        f"serve({theirs.fileno()})"
      )
      self._process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,  # closes with us, however we end
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # with all that it starts
      )
    self._answers = self._socket.makefile("rb", SMALL)
    self.is_idle = True
    self._limits, self._settled = DEFAULT, 0
    # Messages so far, and whether one is waited for.
    self._messages, self._waiting = 0, False
    self._verdict, self._closed = None, threading.Event()
    threading.Thread(target=self._watch, daemon=True).start()

  def call(self, function, args, limits):
    """Yields the pieces of one call."""
    self._limits, self.is_idle = limits, False
    kind, value = self._exchange((function, args))
    while kind == "piece":
      yield value
      kind, value = self._exchange()
    self.is_idle = True
    if kind == "raised":
      raise value

  def settle(self):
    """Memory in use now is not counted from here on."""
    self._settled = self._memory()

  def has_ended(self):
    """Whether it cannot be called any more."""
    return self._verdict is not None or self._is_dead()

  def end(self):
    """Kills the process and what it started, if it has not ended yet."""
    self._closed.set()
    if self._process.returncode is None:
      self._kill()
      self._process.wait()
      self._process.stdin.close()
      self._answers.close()
      self._socket.close()

  def _exchange(self, request=None):
    """Sends a request, if there is one; returns the next that is not a beat."""
    self._waiting = True
    try:
      if request is not None:
        send(self._socket, request)
      message = None
      while message is None:
        message = receive(self._answers)
        self._messages += 1
    except (EOFError, OSError):
      self.end()
      raise self._reason() from None
    self._waiting = False
    return message

  def _reason(self):
    if self._verdict is not None:
      return self._verdict
    status = self._process.returncode
    if status >= 0:
      return Crash("crashed", f"ended its process with status {status}")
    name = signal.Signals(-status).name
    if -status in _TOLD:
      return UserError(
        f"a process that reads media was ended by {name}; run the same "
        "command again"
      )
    why = ", for want of memory perhaps" if name == "SIGKILL" else ""
    return Crash("crashed", f"was ended by {name}{why}")

  def _watch(self):
    """Ends it when it is beyond a limit, or dead with its children alive."""
    # Looks are counted, not seconds: those in which the whole program was
    # stopped, or the machine asleep, are no fault of the file.
    looks, seen = 0, 0
    while not self._closed.wait(_LOOK_EVERY):
      looks = looks + 1 if self._waiting and self._messages == seen else 0
      seen = self._messages
      self._verdict = self._judge(looks * _LOOK_EVERY)
      if self._verdict is not None or self._is_dead():
        self._kill()
        return

  def _judge(self, waited):
    limits = self._limits
    if waited > limits.seconds:
      detail = f"gave no sign of life for {limits.seconds:.0f} s"
      return Crash("too_slow", detail)
    if self._memory() - self._settled > limits.memory:
      detail = f"took more than {limits.memory / 2**30:.1f} GiB of memory"
      return Crash("too_much_memory", detail)
    return None

  def _memory(self):
    try:
      statm = pathlib.Path(f"/proc/{self._process.pid}/statm").read_text()
    except OSError:
      return 0
    return int(statm.split()[1]) * resource.getpagesize()

  def _is_dead(self):
    """Looks without waiting for it, so that its number stays taken."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
      return os.waitid(os.P_PID, self._process.pid, how) is not None
    except ChildProcessError:
      return True

  def _kill(self):
    with contextlib.suppress(ProcessLookupError, PermissionError):
      os.killpg(self._process.pid, signal.SIGKILL)
