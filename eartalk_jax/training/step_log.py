"""What the loop tells: averages of a window, speed, waiting, bad steps."""

import collections
import contextlib
import time

import jax
import numpy as np

from eartalk_jax.telemetry.utilization import rates_text

# Steps that may be in flight: more than 16 deadlock on several CPU devices.
IN_FLIGHT = 2
# Share of a window spent waiting for data that is worth a warning, if it is
# also that many seconds.
ALARM, ALARM_SECONDS = 0.2, 1.0


class StepLog:
  """Reads the metrics of steps that are done and writes a line per window.

  Attributes:
    window: the metrics of steps whose line is not written yet. A checkpoint
      holds it, so that the line is the same if another process writes it.
  """

  def __init__(
    self, run, writer, progress, events, skips, work=None, window=()
  ):
    """Writes to a MetricWriter, an EventLog and a SkipLog; shows on a bar.

    A Utilization `work` adds its rates. `window` is that of the checkpoint
    that the run goes on from.
    """
    self._run, self._writer, self._progress = run, writer, progress
    self.events, self._skips, self._work = events, skips, work
    self._waited = 0.0  # in all
    self._pending = collections.deque()
    self._extra = {}
    self._alarmed = False
    self.window = list(window)
    self._start_clock()

  def begin(self):
    """Starts the clock: all is compiled."""
    self._progress.begin()
    self._start_clock()

  def push(self, step, metrics):
    """Takes the metrics of a step just dispatched; waits for the one before.

    Raises:
      UserError: many steps in a row were skipped.
    """
    self._pending.append((step, metrics))
    self.events.tell(step=step)
    while len(self._pending) > IN_FLIGHT:
      self._read(*self._pending.popleft())

  def add(self, step, scalars):
    """Adds scalars to the line of `step`, which was pushed last."""
    self._extra[step] = scalars

  def flush(self):
    """Waits for all steps dispatched so far."""
    while self._pending:
      self._read(*self._pending.popleft())

  @contextlib.contextmanager
  def waiting(self):
    """Measures the wait for a batch; only what leaves the devices idle."""
    began = time.monotonic()
    yield
    if self._pending and self._pending[-1][1]["loss"].is_ready():
      seconds = time.monotonic() - began
      self._wait += seconds
      self._waited += seconds
      self.events.tell(data_wait=round(self._waited, 6))

  @contextlib.contextmanager
  def aside(self, phase):
    """Something else than steps: a phase, whose time lowers no rate."""
    began = time.monotonic()
    with self.events.phase(phase):
      yield
    self._aside += time.monotonic() - began

  def _start_clock(self):
    self._began, self._timed = time.monotonic(), 0
    self._wait = self._aside = 0.0

  def _read(self, step, metrics):
    metrics = {k: float(v) for k, v in jax.device_get(metrics).items()}
    warning = self._skips.read(step, metrics)
    if warning:
      self._progress.say(warning)
    # No curves: they are infinite at first.
    del metrics["loss_limit"], metrics["grad_norm_limit"]
    self.window.append(metrics)
    self._timed += 1
    seconds = time.monotonic() - self._began - self._aside
    seconds = max(seconds, 1e-9)
    speed, wait = self._timed / seconds, self._wait / seconds
    rates = self._rates(seconds)
    self._progress.update(
      step,
      f"loss {metrics['loss']:.4g}  {speed:.3g} steps/s  "
      f"data wait {wait:.0%}{rates_text(rates)}",
    )
    due = step % self._run.log_every == 0 or step == self._run.steps
    if due or step in self._extra:
      extra = jax.device_get(self._extra.pop(step, {}))
      line = _average(self.window) | {k: float(v) for k, v in extra.items()}
      line |= {"steps_per_second": speed, "data_wait": wait} | rates
      self._writer.write(step, line)
      self._warn(wait)
      self.window = []
      self._start_clock()

  def _rates(self, seconds):
    if self._work is None:
      return {}
    return self._work.rates(self._timed, seconds, self._wait)

  def _warn(self, wait):
    slow = wait > ALARM and self._wait > ALARM_SECONDS
    if slow and not self._alarmed:
      self._progress.say(
        f"warning: {wait:.0%} of the last {self._timed} steps was spent "
        "waiting for data; raise data.threads or use faster storage"
      )
    self._alarmed = slow


def _average(window):
  """Means over the steps that counted; the number of those that did not."""
  good = [metrics for metrics in window if not metrics["skipped"]] or window
  line = {name: float(np.mean([m[name] for m in good])) for name in good[0]}
  line["skipped"] = sum(metrics["skipped"] for metrics in window)
  line["skipped_total"] = window[-1]["skipped_total"]
  return line
