"""Was the run before told to stop, and ended without its save?"""

import json
import pathlib
import sys

import jax


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
  with open(path, encoding="utf-8") as file:
    for line in file:
      # A month has millions of lines, of which few are worth parsing.
      if '"kind": "start"' in line:
        before, told = told, None
      elif '"kind": "signal"' in line:
        told = json.loads(line)
      elif '"kind": "served"' in line:
        told = None
  if before is not None:
    print(
      f"missed: {before['signal']} came after step {before['step']}, and the "
      f"run ended before that was saved; this one goes on from "
      + (f"step {source.name}" if source else "the beginning"),
      file=sys.stderr,
    )
