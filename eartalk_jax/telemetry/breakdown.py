"""What the devices spend the time of a step on, as text."""

import collections

from eartalk_jax.telemetry.operation_kinds import Instructions
from eartalk_jax.telemetry.trace import busy_time, self_times

IDLE = "no operation: host, data, gaps"
_TOP = 25


class Breakdown:
  """Shares of the time from the first operation of a trace to the last.

  Attributes:
    devices: how many there are in the trace.
    step_seconds: the time of a step.
    by_name: {operation: its share, without what runs inside of it}.
    by_kind, by_part: {kind of operation or part of the model: share}, with
      `IDLE`; they add up to 1.
  """

  def __init__(self, found, program, steps):
    """Adds up what is in a trace.

    Args:
      found: Operations, at least one.
      program: the text of the compiled step.
      steps: how many were traced.
    """
    begin = min(operation.begin for operation in found)
    window = max(operation.end for operation in found) - begin
    busy = busy_time(found)
    self.devices = len(busy)
    self.step_seconds = window / steps / 1e9
    whole = window * self.devices
    own, self._calls = collections.Counter(), collections.Counter()
    for operation, time in self_times(found):
      own[operation.name] += time
      self._calls[operation.name] += 1 / steps / self.devices
    # Operations side by side on one device share the time they take.
    scale = sum(busy.values()) / sum(own.values()) / whole
    self.by_name = {name: time * scale for name, time in own.items()}
    self._instructions = Instructions(program)
    self.by_kind, self.by_part = collections.Counter(), collections.Counter()
    for name, share in self.by_name.items():
      self.by_kind[self._instructions[name].kind] += share
      self.by_part[self._instructions[name].part] += share
    idle = 1 - sum(busy.values()) / whole
    self.by_kind[IDLE] = self.by_part[IDLE] = idle

  @property
  def short(self):
    """A few lines for the console."""
    return "\n".join(
      [
        self._headline,
        *self._table("kind of operation", self.by_kind),
        *self._table("operation", self.by_name, 5),
      ]
    )

  @property
  def text(self):
    """Everything, for a file."""
    lines = [
      self._headline,
      "",
      *self._table("kind of operation", self.by_kind),
      "",
      *self._table("part of the model", self.by_part, _TOP),
      "",
      *self._table("operation, without those inside of it", self.by_name, _TOP),
      "",
      f"{'operation':<46}runs a step  what it is, where from",
    ]
    for name, _ in _largest(self.by_name, _TOP):
      one = self._instructions[name]
      calls = self._calls[name]
      lines.append(f"{name[:44]:<46}{calls:11.4g}  {one.kind}; {one.part}")
    return "\n".join(lines) + "\n"

  @property
  def _headline(self):
    return (
      f"{self.step_seconds * 1e3:.2f} ms a step from the first operation to "
      f"the last, mean of {self.devices} device{'s' * (self.devices > 1)}"
    )

  def _table(self, title, shares, rows=None):
    lines = [f"{title:<46}ms a step   share"]
    for name, share in _largest(shares, rows):
      milliseconds = share * self.step_seconds * 1e3
      lines.append(f"{name[:44]:<46}{milliseconds:9.3f}  {share:6.1%}")
    return lines


def _largest(shares, rows):
  return sorted(shares.items(), key=lambda item: -item[1])[:rows]
