"""Work in a process of its own, whose crash is an error like any other."""

import collections
import multiprocessing
import os
import re
import signal
import threading
import traceback

from eartalk_jax.errors import UserError

# Lines of stderr that are kept; a crash's stack is a hundred.
_LINES = 500
_LONGEST = 300
_FATAL = re.compile(r"F\d{4} [^\]]*\] ")


class Died(Exception):
  """The process ended before its work did.

  Attributes:
    how: the signal or the status, in words.
    said: the most telling line that it left on stderr; "" if there is none.
  """

  def __init__(self, how, said):
    super().__init__(f"{how}: {said}")
    self.how, self.said = how, said


def each(function, *arguments):
  """Yields what the generator `function(*arguments)` yields elsewhere.

  The process does not outlive this one, nor the iteration: close it.

  Args:
    function: a generator function of a module; arguments and values travel.

  Raises:
    Died: the process did, by a crash or for lack of memory.
    UserError: the function's own.
    RuntimeError: with the traceback of whatever else it raised.
  """
  context = multiprocessing.get_context("spawn")
  results, its_results = context.Pipe(duplex=False)
  stderr, its_stderr = context.Pipe(duplex=False)
  handed = (its_results, its_stderr, function, arguments)
  process = context.Process(target=_work, args=handed, daemon=True)
  process.start()
  its_results.close()
  its_stderr.close()
  lines = collections.deque(maxlen=_LINES)
  reader = threading.Thread(target=_read, args=(stderr, lines), daemon=True)
  reader.start()
  try:
    while True:
      what, value = results.recv()
      if what == "raised":
        raise value
      if what == "done":
        return
      yield value
  except (EOFError, ConnectionError):
    process.join()
    reader.join()
    raise Died(_ending(process.exitcode), _telling(lines)) from None
  finally:
    process.kill()
    process.join()
    reader.join()
    results.close()
    stderr.close()


def _work(results, stderr, function, arguments):
  """The life of the process."""
  threading.Thread(target=_end_with_parent, daemon=True).start()
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this one
  os.dup2(stderr.fileno(), 2)
  try:
    for value in function(*arguments):
      results.send(("made", value))
    results.send(("done", None))
  except UserError as error:
    results.send(("raised", error))
  except Exception:
    results.send(("raised", RuntimeError(traceback.format_exc())))


def _end_with_parent():
  multiprocessing.parent_process().join()
  os._exit(1)


def _read(stderr, lines):
  with open(stderr.fileno(), errors="replace", closefd=False) as text:
    lines.extend(text)


def _ending(status):
  if status >= 0:
    return f"ended with status {status}"
  name = signal.Signals(-status).name
  if name == "SIGKILL":
    return f"was killed ({name}), as Linux does when memory runs out"
  return f"crashed ({name})"


def _telling(lines):
  """What a library called fatal, else the last line that is no stack frame."""
  lines = [line.strip() for line in lines if line[0].strip()]
  for line in lines:
    if _FATAL.match(line):
      return _FATAL.sub("", line)[:_LONGEST]
  plain = [line for line in lines if not line.startswith(("***", "http"))]
  return plain[-1][:_LONGEST] if plain else ""
