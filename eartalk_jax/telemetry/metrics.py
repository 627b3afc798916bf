"""Where numbers go: metrics.jsonl and TensorBoard, one line for each step.

A resumed run drops what a killed one had written beyond its last checkpoint,
so every step is there once. Other files of lines with a step share that.
"""

import contextlib
import json
import math
import pathlib

import jax
import tensorboardX

from eartalk_jax import files
from eartalk_jax.documents import read_lines
from eartalk_jax.errors import UserError


class MetricWriter:
  """Appends scalars to WORKDIR/metrics.jsonl and WORKDIR/tensorboard."""

  def __init__(self, workdir, step):
    """Opens the files of a run that goes on after `step` steps."""
    self._active = jax.process_index() == 0
    if not self._active:
      return
    workdir = self._workdir = pathlib.Path(workdir)
    self._path = workdir / "metrics.jsonl"
    drop_after(self._path, step)
    self._board = tensorboardX.SummaryWriter(
      str(workdir / "tensorboard"), purge_step=step + 1
    )

  def __enter__(self):
    return self

  def __exit__(self, error_type, *unused):
    if not self._active:
      return
    try:
      with _write_errors(self._workdir):
        self._board.close()
    except UserError:
      # An error on its way out is the one to report.
      if error_type is None:
        raise

  def write(self, step, scalars):
    """Writes a line {"step": step, name: value, ...}; NaN becomes null."""
    if not self._active:
      return
    append_line(self._path, step, scalars)
    with _write_errors(self._workdir):
      for name, value in scalars.items():
        self._board.add_scalar(name, value, step)


def read_metrics(workdir):
  """The lines of WORKDIR/metrics.jsonl as dictionaries; a torn one is left."""
  path = pathlib.Path(workdir) / "metrics.jsonl"
  return list(_lines(path)) if path.exists() else []


def _lines(path):
  # A loss that is not finite is a figure, too.
  return read_lines(path, _is_line, finite=False)


def _is_line(line):
  return isinstance(line, dict) and type(line.get("step")) is int


def append_line(path, step, values):
  """Appends {"step": step, name: value, ...}; NaN becomes null.

  Raises:
    UserError: the operating system could not write, such as a full disk.
  """
  line = {"step": step} | {
    name: None
    if isinstance(value, float) and not math.isfinite(value)
    else value
    for name, value in values.items()
  }
  with (
    _write_errors(path.parent),
    open(path, "a", encoding="utf-8") as file,
  ):
    file.write(json.dumps(line) + "\n")


def drop_after(path, step):
  """Drops the lines beyond a step, and a torn one, from a file of lines.

  Raises:
    UserError: a line is damaged, or the file cannot be written.
  """
  if not path.exists():
    return
  kept = [line for line in _lines(path) if line["step"] <= step]
  files.write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


@contextlib.contextmanager
def _write_errors(workdir):
  try:
    yield
  except OSError as error:
    raise UserError(
      f"cannot write metrics to {workdir}: {error.strerror}; free some "
      "space, then run the same command again"
    ) from error
