"""Progress of countable work: a bar on a terminal, else a line in time.

A heartbeat keeps either of them moving while the work itself says nothing,
for example while XLA compiles.
"""

import contextlib
import sys
import threading
import time

from rich import progress as bars

SILENCE_S = 5.0


@contextlib.contextmanager
def counting(what, total, unit="", stream=None):
  """Shows how far `what` is; yields `advance(n=1)`.

  Args:
    what: short name of the work.
    total: how many units there are; None when nobody knows.
    unit: name of the units, plural.
    stream: where to write; standard output if None.
  """
  stream = stream or sys.stdout
  shown = _bar if stream.isatty() else _lines
  with shown(what, total, unit, stream) as advance:
    yield advance


@contextlib.contextmanager
def _bar(what, total, unit, stream):
  del stream  # rich finds the terminal itself
  columns = (
    bars.TextColumn("{task.description}"),
    bars.BarColumn(),
    bars.MofNCompleteColumn(),
    bars.TextColumn(unit),
    bars.TimeElapsedColumn(),
    bars.TextColumn("ETA"),
    bars.TimeRemainingColumn(),
  )
  with bars.Progress(*columns) as shown:
    task = shown.add_task(what, total=total)
    yield lambda n=1: shown.advance(task, n)


@contextlib.contextmanager
def _lines(what, total, unit, stream):
  start = time.monotonic()
  done = 0
  finished = threading.Event()

  def say():
    text = progress_line(what, done, total, unit, time.monotonic() - start)
    print(text, file=stream, flush=True)

  def beat():
    # What cannot be printed any more is for the main thread to find out.
    with contextlib.suppress(OSError):
      while not finished.wait(SILENCE_S):
        say()

  def advance(n=1):
    nonlocal done
    done += n

  thread = threading.Thread(target=beat, daemon=True)
  thread.start()
  try:
    yield advance
  finally:
    finished.set()
    thread.join()
    say()


def progress_line(what, done, total, unit, seconds):
  """One line of progress, with the time left where it can be told."""
  if total is None:
    return f"{what}: {done} {unit}, {clock(seconds)}"
  line = f"{what}: {done}/{total} {unit}, {clock(seconds)}"
  if 0 < done < total:
    line += f", ETA {clock(seconds * (total - done) / done)}"
  return line


def clock(seconds):
  """Seconds as h:mm:ss."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}"
