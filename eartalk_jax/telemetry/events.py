"""What happened when: WORKDIR/events.jsonl, one line for each event.

  {"time": ..., "process": 0, "attempt": 2, "kind": "begin", "phase": "compile"}

`time` is in seconds since 1970; an attempt is one start of the program. Lines
are only ever appended: a line is there whole, or it is the last one and torn
by a kill, and then the next attempt cuts it off. Process 0 tells the story of
the run; what another process has to say goes to events.PROCESS.jsonl.

Kinds that the log writes itself:
  start  `started`: when the operating system started the process
  begin, end   of a `phase`; phases nest
  alive  every few seconds
  stop   `how`: finished, SIGTERM, SIGINT, error or stalled; a killed run has
         none
Each of them also has the fields that `tell` was given last.
"""

import contextlib
import json
import os
import pathlib
import signal
import threading
import time

import jax

from eartalk_jax.documents import read_lines
from eartalk_jax.errors import UserError

# Seconds between two lines `alive`: so much is not known of a killed run.
BEAT = 5.0


# Of the fields of a line, those that are computed with.
_TYPES = {
  "time": (int, float),
  "process": int,
  "attempt": int,
  "started": (int, float),
  "phase": str,
  "how": str,
  "step": int,
  "data_wait": (int, float),
}
_OF_KIND = {
  "start": ("started",),
  "begin": ("phase",),
  "end": ("phase",),
  "stop": ("how",),
}
_END_OF_TIME = 1e11  # seconds since 1970


class EventLog:
  """Appends to the event log of a work directory; a context manager."""

  def __init__(self, workdir, process=None):
    """Will write as process number `process`, by default this one's."""
    self._workdir = pathlib.Path(workdir)
    self._process = jax.process_index() if process is None else process
    self._file = self._attempt = self._failure = None
    self._told = {}
    self._phases = ()
    self._done = threading.Event()
    # Reentrant: a signal's handler may write while the main thread does.
    self._lock = threading.RLock()
    self._beating = threading.Thread(target=self._beat, daemon=True)

  def __enter__(self):
    self.write("start", started=_started(), pid=os.getpid())
    if self._process == 0:
      self._beating.start()
    return self

  def __exit__(self, error_type, error, traceback):
    self._done.set()
    if self._beating.is_alive():
      self._beating.join()
    try:
      self.write("stop", **_how(error))
    except UserError:
      # An error on its way out is the one to report.
      if error is None:
        raise
    finally:
      if self._file is not None:
        os.close(self._file)
        self._file = None

  def write(self, kind, *, everywhere=False, **fields):
    """Appends an event.

    Args:
      kind: what happened.
      everywhere: also in processes other than 0, each to a file of its own.
      **fields: JSON values.

    Raises:
      UserError: the disk is full, or the directory cannot be written.
    """
    if self._process > 0 and not everywhere:
      return
    with self._lock:
      failure, self._failure = self._failure, None
      if failure is not None:
        raise failure
      event = {"time": round(time.time(), 6), "process": self._process}
      try:
        if self._file is None:
          self._open()
        if self._attempt:
          event["attempt"] = self._attempt
        event |= {"kind": kind} | self._told | fields
        _append(self._file, (json.dumps(event) + "\n").encode())
      except OSError as error:
        raise UserError(
          f"cannot write {self._path}: {error.strerror}; free some space or "
          "make the folder writable, then run the same command again"
        ) from error

  @contextlib.contextmanager
  def phase(self, name, **fields):
    """Writes when the body begins and when it ends, be it by an error."""
    self._phases = (*self._phases, name)
    self.write("begin", phase=name, **fields)
    try:
      yield
    except BaseException:
      with contextlib.suppress(UserError):
        self.write("end", phase=name)
      raise
    finally:
      self._phases = self._phases[:-1]
    self.write("end", phase=name)

  def tell(self, **fields):
    """Adds to all later lines; nothing is written, so it costs nothing."""
    self._told = self._told | fields

  @property
  def position(self):
    """(names of the phases, the inmost last; the step told last, or None).

    It is another tuple of names after each begin and end of a phase.
    """
    return self._phases, self._told.get("step")

  @property
  def _path(self):
    return self._workdir / _name(self._process)

  def _open(self):
    self._workdir.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    self._file = os.open(self._path, flags, 0o644)
    text = self._path.read_bytes()
    os.ftruncate(self._file, text.rfind(b"\n") + 1)
    # Not anew for what is said after the end, when others may have begun.
    if self._process == 0 and self._attempt is None:
      self._attempt = 1 + text.count(b'"kind": "start"')

  def _beat(self):
    while not self._done.wait(BEAT):
      try:
        self.write("alive")
      except UserError as error:
        self._failure = error  # for the main thread to raise
        return


def read_events(workdir):
  """All events of a run in the order they were written, process by process.

  Raises:
    UserError: there is no event log, or a line is damaged.
  """
  workdir = pathlib.Path(workdir)
  paths = [workdir / _name(0), *sorted(workdir.glob("events.*.jsonl"))]
  if not paths[0].is_file():
    raise UserError(
      f"{paths[0]} is not there; give the work directory of a training run"
    )
  return [event for path in paths for event in read_lines(path, _is_event)]


def _name(process):
  return f"events.{process}.jsonl" if process else "events.jsonl"


def _is_event(event):
  """Whether it has what all events of its kind have, as they have it."""
  if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
    return False
  needed = {"time", "process", *_OF_KIND.get(event["kind"], ())}
  if not all(
    isinstance(value, _TYPES[name]) and not isinstance(value, bool)
    for name, value in event.items()
    if name in _TYPES
  ):
    return False
  times = [event[name] for name in ("time", "started") if name in event]
  return needed <= event.keys() and all(0 <= t < _END_OF_TIME for t in times)


def _append(file, line):
  """Writes a line whole or not at all."""
  size = os.fstat(file).st_size
  try:
    while line:
      line = line[os.write(file, line) :]
  except OSError:
    os.ftruncate(file, size)
    raise


def _how(error):
  """What a `with` block's way out says about the end of a run."""
  if error is None:
    return {"how": "finished"}
  if isinstance(error, KeyboardInterrupt):
    return {"how": "SIGINT"}
  if isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM:
    return {"how": "SIGTERM"}
  lines = str(error).splitlines() or [""]
  return {"how": "error", "error": f"{type(error).__name__}: {lines[0][:300]}"}


_first = True


def _started():
  """When the first log's process was started; for a later log it is now."""
  global _first
  first, _first = _first, False
  return _process_started() if first else round(time.time(), 6)


def _process_started():
  """Seconds since 1970 at which this process was started."""
  try:
    # Field 22, after the name, which may hold spaces and brackets.
    fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2]
    ticks = int(fields.split()[19])
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(time.time() - now + since_boot, 6)
  except (OSError, AttributeError):
    return _IMPORTED  # no Linux: all but the time to get here


_IMPORTED = time.time()
