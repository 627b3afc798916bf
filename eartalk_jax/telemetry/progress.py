"""What a person sees of a long run: a bar on a terminal, else plain lines."""

import contextlib
import threading
import time

import jax
from rich.console import Console
from rich.progress import (
  BarColumn,
  Progress,
  TextColumn,
  TimeElapsedColumn,
)

from eartalk_jax.counting import clock
from eartalk_jax.processes.interruption import phase

# Longest silence, in seconds, when the output is not a terminal.
QUIET = 5.0


def _console():
  # A log file gets whole lines, however long; only one process speaks.
  return Console(soft_wrap=True, quiet=jax.process_index() > 0)


class StepProgress:
  """Steps done, time left and a few numbers."""

  def __init__(self, name, start, steps):
    """Will show steps from `start` to `steps`."""
    self._name, self._start, self._steps = name, start, steps
    self._console = _console()
    self._bar = Progress(
      TextColumn(name),
      BarColumn(),
      TextColumn("{task.fields[text]}"),
      console=self._console,
      disable=not self._console.is_terminal,
    )
    self._task = self._bar.add_task(name, total=steps, text="")
    self._began = self._said = time.monotonic()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._bar.stop()

  def begin(self):
    """Shows the bar; the time left is estimated from now on."""
    self._began = time.monotonic()
    self._bar.start()

  def say(self, text):
    """Prints a line above the bar."""
    self._console.print(text, highlight=False, markup=False)

  def update(self, step, text):
    """Shows that `step` steps are done; `text` is appended."""
    now = time.monotonic()
    text = f"{step}/{self._steps}  {text}  ETA {self._left(step, now)}"
    self._bar.update(self._task, completed=step, text=text)
    due = now - self._said >= QUIET or step == self._steps
    if due and not self._console.is_terminal:
      self._said = now
      self.say(f"{self._name} {text}")

  def _left(self, step, now):
    done = step - self._start
    if done < 1:
      return "?"
    return clock((self._steps - step) * (now - self._began) / done)


@contextlib.contextmanager
def working(name):
  """Shows `name` and the time since, while something silent goes on.

  Yields a list; what the body puts there is told with the time it took.
  """
  console, notes = _console(), []
  began = time.monotonic()
  bar = Progress(
    TextColumn(name),
    TimeElapsedColumn(),
    console=console,
    transient=True,
    disable=not console.is_terminal,
  )
  bar.add_task(name, total=None)
  with bar, phase(name), _telling(name, console, began):
    yield notes
  text = f"{name}: {time.monotonic() - began:.1f} s"
  if notes:
    text += f" ({'; '.join(notes)})"
  console.print(text, highlight=False, markup=False)


@contextlib.contextmanager
def _telling(name, console, began):
  """Prints the time since every few seconds, unless on a terminal."""
  done = threading.Event()

  def tell():
    while not done.wait(QUIET):
      text = f"{name}: {clock(time.monotonic() - began)}"
      console.print(text, highlight=False, markup=False)

  thread = threading.Thread(target=tell, daemon=True)
  if not console.is_terminal:
    thread.start()
  try:
    yield
  finally:
    done.set()
