"""How every command ends.

0 done, 2 user error, 130 interrupted, 143 told to end by SIGTERM, 141 nobody
reads what it prints, 1 an error of ours or, where a command says so, a finding.
"""

import contextlib
import errno
import io
import os
import select
import sys
import traceback

import jax

from eartalk_jax.errors import UserError, one_line
from eartalk_jax.processes.interruption import listening

_UNREAD = 141  # as a shell says it of a process that SIGPIPE ended
# What the machine may lack; without a file's name it is about one that is open.
_LACKING = {
  errno.ENOSPC,
  errno.EDQUOT,
  errno.EFBIG,
  errno.EIO,
  errno.EROFS,
  errno.ENOMEM,
  errno.EMFILE,
  errno.ENFILE,
  errno.EAGAIN,
}


def run(main):
  """Calls `main()`; turns what users can mend into one line and status 2."""
  if isinstance(sys.stdout, io.TextIOWrapper):
    # Names of files may hold letters that a terminal, or a log, has not.
    sys.stdout.reconfigure(errors="backslashreplace")
  with listening() as listener:
    try:
      status = _status_of(main)
    except KeyboardInterrupt:
      _say("interrupted; run the same command to continue")
      status = 130
      listener.fail("interrupted", status)
    except Exception as error:
      status, message = _judge(error)
      listener.fail(message, status)
    if status in (130, 143):
      listener.leave(status)
  sys.exit(status)


def _status_of(main):
  try:
    status = main()
  except SystemExit as end:
    status = end.code
  sys.stdout.flush()
  return status


def _judge(error):
  """Says what went wrong; the exit status and the message for others."""
  if isinstance(error, BrokenPipeError) and _is_unread(sys.stdout):
    for stream in filter(_is_unread, (sys.stdout, sys.stderr)):
      # Python writes once more when it ends.
      os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return _UNREAD, "nobody reads its output"
  message = _remedy(error)
  if message is None:
    with contextlib.suppress(OSError):
      traceback.print_exc()
    return 1, f"{type(error).__name__}: {error}"
  message = one_line(message)
  _say(f"error: {message}")
  return 2, message


def _remedy(error):
  """What a user is to read of an error; None if it is a mistake of ours."""
  if isinstance(error, UserError):
    return error
  if isinstance(error, OSError):
    reason = error.strerror or error
    if isinstance(error.filename, (str, bytes, os.PathLike)):
      return f"{os.fsdecode(error.filename)}: {reason}"
    if error.errno in _LACKING:
      return f"{reason}; mend that and run the same command again"
  if isinstance(error, MemoryError):
    said = f" ({error})" if str(error) else ""
    return f"not enough memory{said}; ask for less at a time"
  if isinstance(error, jax.errors.JaxRuntimeError):
    said = str(error).partition("\n")[0]
    if "RESOURCE_EXHAUSTED" in said:
      return f"not enough memory on the device ({said}); ask for less at a time"
  return None


def _is_unread(stream):
  """Whether a stream is a pipe that nobody reads any more."""
  try:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
  except (OSError, ValueError):  # it is closed, or no file
    return False


def _say(text):
  with contextlib.suppress(OSError):  # nobody reads that either
    print(text, file=sys.stderr, flush=True)
