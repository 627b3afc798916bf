"""Was the run before told to stop, and ended without its save?"""

import pathlib
import sys

import jax

from eartalk_jax.documents import parse_json
from eartalk_jax.errors import UserError


def tell_missed(workdir, source):
  """Says so on stderr, if it was; to be called by a run that has just begun.

  Args:
    workdir: of the run, whose event log is read.
    source: the checkpoint that is gone on from, or None.
  """
  path = pathlib.Path(workdir) / "events.jsonl"
  if jax.process_index() or not path.exists():
    return
  told = before = None
  with open(path, "rb") as file:
    for line in file:
      # A month has millions of lines, of which few are worth parsing.
      if b'"kind": "start"' in line:
        before, told = told, None
      elif b'"kind": "signal"' in line:
        told = _signal(line)
      elif b'"kind": "served"' in line:
        told = None
  if before is not None:
    name, step = before
    print(
      f"missed: {name} came after step {step}, and the run ended before that "
      "was saved; this one goes on from "
      + (f"step {source.name}" if source else "the beginning"),
      file=sys.stderr,
    )


def _signal(line):
  """(signal, step) of a line of the event log; None of a damaged one."""
  try:
    event = parse_json(line, "event")
  except UserError:
    return None
  match event:
    case {"signal": str(name), "step": int(step)}:
      return name, step
  return None
