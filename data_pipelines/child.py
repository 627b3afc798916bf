"""The child of `isolation`: serves calls, and talks to its parent.

It imports little, for a child is to start quickly.
"""

import contextlib
import fcntl
import functools
import os
import pathlib
import pickle
import resource
import select
import socket
import struct
import time
import traceback

from eartalk_jax.errors import UserError

# Seconds from one sign of life to the next, at least.
_BEAT_EVERY = 0.2
_LENGTH = struct.Struct("!Q")
# Bytes below which a message goes in one piece.
SMALL = 1 << 16


def send(channel, value):
  """Sends a value: its pickle, then its arrays as they lie in memory."""
  buffers = []
  content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
  parts = [content, *(buffer.raw() for buffer in buffers)]
  lengths = [len(parts), *(memoryview(part).nbytes for part in parts)]
  parts.insert(0, b"".join(map(_LENGTH.pack, lengths)))
  if sum(lengths) < SMALL:
    parts = [b"".join(parts)]
  for part in parts:
    channel.sendall(part)


def receive(stream):
  """The next value of a socket's file."""
  lengths = [_receive_length(stream) for _ in range(_receive_length(stream))]
  content, *buffers = [_receive_bytes(stream, length) for length in lengths]
  return pickle.loads(content, buffers=buffers)


def _receive_length(stream):
  return _LENGTH.unpack(_receive_bytes(stream, _LENGTH.size))[0]


def _receive_bytes(stream, length):
  content = bytearray(length)
  if stream.readinto(content) < length:
    raise EOFError
  return content


# How a child says that it is alive, None in all other processes; and when it
# did so last.
_beat, _last_beat = None, 0.0


def alive():
  """Says that a long call gets on, may be called at every step of it.

  Does nothing outside of a child.
  """
  global _last_beat
  if _beat is not None and time.monotonic() - _last_beat > _BEAT_EVERY:
    _last_beat = time.monotonic()
    _beat()


def serve(descriptor):
  """The child: serves calls until its parent is gone."""
  global _beat
  _end_with_parent()
  _be_modest()
  channel = socket.socket(fileno=descriptor)
  requests = channel.makefile("rb")
  _beat = functools.partial(send, channel, None)
  while True:
    try:
      function, args = receive(requests)
      for piece in function(*args):
        send(channel, ("piece", piece))
      answer = ("end", None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
      return
    except BaseException as error:
      answer = ("raised", _portable(error))
    send(channel, answer)


def _portable(error):
  """The error as it can be pickled, with its traceback as a note."""
  if not isinstance(error, UserError):
    error.add_note("".join(traceback.format_exception(error)))
  try:
    pickle.loads(pickle.dumps(error))
    return error
  except Exception:
    return RuntimeError("".join(traceback.format_exception(error)))


def _end_with_parent():
  """Lets the kernel end us when the parent's end of our stdin closes.

  A thread of Python's could not, while a decoder keeps the interpreter.
  """
  fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
  fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)
  if select.select([0], [], [], 0)[0]:
    os._exit(1)


def _be_modest():
  """No core files; and if memory ends, the kernel takes us, not the parent."""
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  with contextlib.suppress(OSError):
    pathlib.Path("/proc/self/oom_score_adj").write_text("800")
