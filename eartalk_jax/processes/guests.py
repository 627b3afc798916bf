"""Whoever connects to process 0 before a run: the other processes, or others.

All are heard at once, and each has so many seconds and bytes for the line that
says who it is. Who says nothing, or nothing that a process says, is let go.
"""

import contextlib
import errno
import json
import selectors
import socket
import time

from eartalk_jax.documents import parse_json
from eartalk_jax.errors import UserError

# Longest line that anybody may send, and how long one may take.
LINE_BYTES = 1 << 16
LINE_SECONDS = 5.0
# Connections that have not said who they are; of more the first are let go.
_STRANGERS = 256
# Of strangers so many are told of.
_TOLD = 8
# Longest name of a host, or text of a fact, and how many facts there may be.
_WORD, _FACTS = 255, 64
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def name_of(process, host):
  """How a process is called in messages."""
  return f"process {process} ({host})"


class Guests:
  """Who has come to process 0; their connections stay open.

  Attributes:
    facts: {process: {"host": name, "facts": {name: text}}} of those who came.
  """

  def __init__(self, server, mine, processes):
    """Listens at a server socket; `mine` is what process 0 says itself."""
    self.facts, self._processes = {0: mine}, processes
    self._server = server
    server.setblocking(False)
    self._selector = selectors.DefaultSelector()
    self._selector.register(server, selectors.EVENT_READ)
    self._strangers = {}  # connection: (said so far, until when it may)
    self._named = {}  # connection: process
    self._told = 0

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    for connection in (*self._strangers, *self._named):
      connection.close()
    self._selector.close()

  def missing(self):
    """Who has not come yet, or has gone again."""
    if len(self.facts) == self._processes:
      for connection in [c for c in self._named if not _is_open(c)]:
        self._forget(connection)
    return sorted(set(range(self._processes)) - set(self.facts))

  def wait(self, seconds):
    """Hears who has something to say; returns what is wrong, or None."""
    for key, _ in self._selector.select(seconds):
      if key.fileobj is self._server:
        self._accept()
      elif key.fileobj.fileno() >= 0:  # not let go meanwhile
        error = self._hear(key.fileobj)
        if error:
          return error
    now = time.monotonic()
    for connection, (_, until) in list(self._strangers.items()):
      if now > until:
        self._let_go(connection, "did not say who it is")
    return None

  def answer(self, error):
    """Gives all of them the verdict."""
    for connection in self._named:
      _tell(connection, error)

  def _accept(self):
    try:
      connection, _ = self._server.accept()
    except OSError as error:
      if error.errno not in _FULL:
        return  # it has gone again
      if not self._strangers:
        raise UserError(
          f"process 0 cannot hear all {self._processes} processes "
          f"({error.strerror}); raise its limit of open files (ulimit -n)"
        ) from None
      self._let_go(next(iter(self._strangers)), "had to make room")
      return
    if len(self._strangers) >= _STRANGERS:
      self._let_go(next(iter(self._strangers)), "had to make room")
    connection.setblocking(False)
    self._selector.register(connection, selectors.EVENT_READ)
    self._strangers[connection] = b"", time.monotonic() + LINE_SECONDS

  def _hear(self, connection):
    """Takes what a connection says; returns what is wrong, or None."""
    try:
      part = connection.recv(4096)
    except BlockingIOError:
      return None
    except OSError:
      part = b""
    if connection in self._named:
      if not part:  # who has said who it is says no more
        self._forget(connection)
      return None
    said, until = self._strangers[connection]
    said += part
    if b"\n" in said:
      return self._meet(connection, said.partition(b"\n")[0])
    if not part or len(said) > LINE_BYTES:
      self._let_go(connection, "did not say who it is")
    else:
      self._strangers[connection] = said, until
    return None

  def _meet(self, connection, line):
    """Hears who it is; returns what is wrong with that, or None."""
    told = _read(line)
    if told is None:
      self._let_go(connection, "said nothing that a process says")
      return None
    process, host = told["process"], told["host"]
    if not 0 < process < self._processes:
      count = self._processes
      _tell(
        connection,
        f"process 0 was started with --processes {count}: there is no process "
        f"{process} to come; start the same everywhere",
      )
      self._let_go(connection, f"({host}) says that it is process {process}")
      return None
    known, before = self.facts.get(process), None
    for other, number in self._named.items():
      before = other if number == process else before
    del self._strangers[connection]
    self._named[connection] = process
    # One whose connection has ended was started again.
    if before is not None and _is_open(before):
      name = name_of(process, known["host"])
      return f"{name} is there a second time, on {host}"
    if before is not None:
      self._forget(before)
    self.facts[process] = {"host": host, "facts": told["facts"]}
    return None

  def _forget(self, connection):
    """One whose connection has ended is not there any more."""
    del self.facts[self._named.pop(connection)]
    self._close(connection)

  def _let_go(self, connection, why):
    del self._strangers[connection]
    self._told += 1
    if self._told <= _TOLD:
      with contextlib.suppress(OSError):
        print(f"{connection.getpeername()[0]} {why}; ignored", flush=True)
    self._close(connection)

  def _close(self, connection):
    self._selector.unregister(connection)
    connection.close()


def _read(line):
  """{"process", "host", "facts"} of what a process says; else None."""
  try:
    told = parse_json(line, "a process")
  except UserError:
    return None
  match told:
    case {"process": int(process), "host": str(host), "facts": dict(facts)}:
      words = [host, *facts, *facts.values()]
      short = len(facts) <= _FACTS and all(map(_is_word, words))
      if short and not isinstance(process, bool):
        return {"process": process, "host": host, "facts": facts}
  return None


def _is_word(text):
  return isinstance(text, str) and len(text) <= _WORD and text.isprintable()


def _tell(connection, error):
  """Sends a verdict, which fits what the system buffers, or does not arrive."""
  with contextlib.suppress(OSError):
    connection.sendall(json.dumps({"error": error}).encode() + b"\n")


def _is_open(connection):
  try:
    return connection.recv(1, socket.MSG_PEEK) != b""
  except BlockingIOError:
    return True
  except OSError:
    return False
