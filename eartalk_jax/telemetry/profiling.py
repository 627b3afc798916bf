"""A trace of a few steps, WORKDIR/profile/, and what it says as text.

The trace is for TensorBoard's profile plugin or XProf; breakdown.txt needs no
viewer.
"""

import contextlib
import pathlib
import re

import jax

from eartalk_jax import files
from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.breakdown import Breakdown
from eartalk_jax.telemetry.trace import read_trace

# Traces of more steps lose operations on TPU, and get slow to open.
MANY = 10


def parse_steps(text):
  """First and last step of "steps=FIRST..LAST"; None of None.

  Raises:
    UserError: it is written otherwise, or holds no step.
  """
  if text is None:
    return None
  match = re.fullmatch(r"steps=([0-9]+)\.\.([0-9]+)", text)
  first, last = map(int, match.groups()) if match else (0, 0)
  if not 1 <= first <= last:
    raise UserError(
      f"--profile={text}: write steps=FIRST..LAST, such as steps=20..23; the "
      "first step is number 1"
    )
  return first, last


class Profile:
  """Traces some steps of a run; without steps it does nothing."""

  def __init__(self, workdir, steps, log, say):
    """Will trace steps (first, last), or none.

    Args:
      workdir: gets profile/.
      steps: first and last, or None.
      log: the run's StepLog.
      say: prints a line.
    """
    self._directory = pathlib.Path(workdir) / "profile"
    # The other processes' devices do the same.
    here = steps is not None and jax.process_index() == 0
    self._first, self._last = steps if here else (0, 0)
    self._log, self._say = log, say
    self._program, self._step, self._tracing = None, None, False

  def __enter__(self):
    return self

  def __exit__(self, error_type, *unused):
    if error_type is None:
      self._stop(self._step)
    elif self._tracing:
      # That error is the one to report.
      with contextlib.suppress(Exception):
        jax.profiler.stop_trace()

  def before(self, step, program):
    """Begins or ends the trace if it is time.

    Args:
      step: number of the step to come.
      program: the compiled step.
    """
    if self._first and self._step is None:
      self._warn(step)
    self._step = step
    if step == self._first:
      self._program = program
      self._start()
    elif step == self._last + 1:
      self._stop(self._last)

  def _warn(self, step):
    if step > self._first:
      self._say(f"warning: step {self._first} is done, so there is no profile")
    elif self._last - self._first >= MANY:
      self._say(
        f"warning: a profile of more than {MANY} steps gets large, and on TPU "
        "it loses operations"
      )

  def _start(self):
    self._log.flush()
    with self._log.aside("profile"), self._write_errors():
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # slow, and too much to read
      self._directory.mkdir(parents=True, exist_ok=True)
      jax.profiler.start_trace(self._directory, profiler_options=options)
      self._tracing = True

  def _stop(self, last):
    if not self._tracing:
      return
    self._log.flush()
    with self._log.aside("profile"), self._write_errors():
      self._tracing = False
      jax.profiler.stop_trace()
      found = read_trace(_newest(self._directory))
      name = f"steps {self._first} to {last}"
      if not found:
        self._say(f"warning: the profile of {name} holds no operations")
        return
      steps = last - self._first + 1
      breakdown = Breakdown(found, self._program.as_text(), steps)
      path = self._directory / "breakdown.txt"
      files.write_text(path, f"{name}: {breakdown.text}")
      self._say(f"{name}: {breakdown.short}\nmore in {path}")

  @contextlib.contextmanager
  def _write_errors(self):
    try:
      yield
    except (OSError, RuntimeError) as error:
      raise UserError(
        f"cannot write a profile to {self._directory} ({error}); free some "
        "space or leave --profile out"
      ) from error


def _newest(directory):
  paths = directory.glob("**/*.xplane.pb")
  return max(paths, key=lambda path: path.stat().st_mtime)
