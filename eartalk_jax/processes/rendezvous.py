"""Processes find each other before JAX looks for them, and say who is missing.

When one process does not come, JAX aborts all the others without a name. So
each of them first says who it is to process 0, at the address where JAX's
coordinator will listen afterwards, and gets its verdict: all are here, or what
is wrong. One line of JSON each way; nothing that comes in is trusted.
"""

import contextlib
import json
import socket
import time

from eartalk_jax.config import differences
from eartalk_jax.errors import UserError

# Longest line that anybody may send, and how long one may take.
_LINE_BYTES = 1 << 16
_LINE_SECONDS = 5.0
_RETRY_SECONDS = 0.2
_TELL_SECONDS = 15.0


def meet(address, process, processes, facts, timeout):
  """Returns once all processes are there and say the same facts.

  Args:
    address: HOST:PORT of process 0.
    process, processes: which one this is, of how many.
    facts: {name: text} that must be the same everywhere.
    timeout: seconds.

  Raises:
    UserError: somebody is missing, is there twice or says other facts; the
      message, the same on all that are there, names them.
  """
  host, port = split_address(address)
  mine = {
    "process": process,
    "host": socket.gethostname(),
    "facts": facts | {"processes": str(processes)},
  }
  if process == 0:
    _gather(port, mine, processes, timeout)
  else:
    _report(host, port, mine, timeout)


def split_address(address):
  """(host, port) of HOST:PORT.

  Raises:
    UserError: it is written otherwise.
  """
  host, _, port = address.rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
    raise UserError(
      f"coordinator {address!r}: write HOST:PORT, the address of process 0 "
      "and a free port there"
    )
  return host.strip("[]"), int(port)


def odd_ones(facts):
  """What differs between processes: one text for each odd one.

  Args:
    facts: {process: {"host": name, "facts": {name: text}}}.
  """
  texts = {p: json.dumps(f["facts"], sort_keys=True) for p, f in facts.items()}
  counts = [*texts.values()]
  # Of two halves, the one with process 0 is right.
  usual = max(texts, key=lambda p: (counts.count(texts[p]), p == min(texts)))
  found = []
  for process, told in sorted(facts.items()):
    changes = differences(facts[usual]["facts"], told["facts"])
    if changes:
      found.append(
        f"{name_of(process, told['host'])} has "
        + ", ".join(f"{k} {new} instead of {old}" for k, old, new in changes)
      )
  return found


def name_of(process, host):
  """How a process is called in messages."""
  return f"process {process} ({host})"


class _Guests:
  """Who has come to process 0; their connections stay open."""

  def __init__(self, mine):
    self.facts, self._lines, self._all = {0: mine}, {}, []

  def add(self, connection):
    """Hears who it is; returns what is wrong with that, or None."""
    connection.settimeout(_LINE_SECONDS)
    try:
      told = json.loads(_read_line(connection))
      process = int(told["process"])
      told = {"host": str(told["host"]), "facts": dict(told["facts"])}
    except (OSError, ValueError, TypeError, KeyError):
      connection.close()  # somebody who looks at open ports
      return None
    known, self.facts[process] = self.facts.get(process), told
    before = self._lines.get(process)
    self._lines[process] = connection
    self._all.append(connection)
    # One whose connection has ended was started again.
    if known and (before is None or _is_open(before)):
      names = name_of(process, known["host"]), told["host"]
      return f"{names[0]} is there a second time, on {names[1]}"
    return None

  def missing(self, processes):
    """Who has not come yet, or has gone again."""
    if len(self.facts) == processes:
      self.forget_gone()
    return sorted(set(range(processes)) - set(self.facts))

  def forget_gone(self):
    """Those whose connections have ended are not there any more."""
    for process, connection in list(self._lines.items()):
      if not _is_open(connection):
        del self._lines[process], self.facts[process]

  def answer(self, error):
    """Gives all of them the verdict."""
    line = json.dumps({"error": error}).encode() + b"\n"
    for connection in self._all:
      with connection, contextlib.suppress(OSError):
        connection.sendall(line)


def _gather(port, mine, processes, timeout):
  """Process 0: hears everybody and answers."""
  guests = _Guests(mine)
  with _listen(port) as server:
    try:
      error = _hear(server, guests, processes, timeout)
    except BaseException:
      guests.answer("process 0 was stopped before all had come")
      raise
    guests.answer(error)
  if error:
    raise UserError(error)


def _hear(server, guests, processes, timeout):
  """Waits for all; returns what is wrong, or None."""
  began = told = time.monotonic()
  while True:
    missing = guests.missing(processes)
    if not missing:
      break
    now = time.monotonic()
    if now - began > timeout:
      return (
        f"{_list(missing)} of {processes} did not come within {timeout:g} s "
        f"(those that did: {_names(guests.facts)}); look at the log of what "
        "is missing, or give more time with --join_timeout"
      )
    if now - told > _TELL_SECONDS:
      told = now
      print(f"waiting for {_list(missing)} of {processes}", flush=True)
    server.settimeout(min(began + timeout - now + 0.01, 1.0))
    try:
      connection, _ = server.accept()
    except TimeoutError:
      guests.forget_gone()
      continue
    error = guests.add(connection)
    if error:
      return f"{error}; give every process another number"
  odd = odd_ones(guests.facts)
  if odd:
    return f"{'; '.join(odd)}; install and start the same everywhere"
  return None


def _report(host, port, mine, timeout):
  """Any other process: tells process 0 who it is and hears the verdict."""
  where = f"process 0 at {host}:{port}"
  connection = _connect(host, port, where, timeout)
  # Process 0 may have begun to wait only now.
  connection.settimeout(timeout + _LINE_SECONDS)
  try:
    with connection:
      connection.sendall(json.dumps(mine).encode() + b"\n")
      error = json.loads(_read_line(connection))["error"]
  except TimeoutError:
    raise UserError(
      f"{where} did not say within {timeout:g} s whether all are there; look "
      "at its log"
    ) from None
  except (OSError, ValueError, TypeError, KeyError):
    raise UserError(
      f"{where} ended, or is another program, before all had come; look at "
      "its log"
    ) from None
  if error:
    raise UserError(error)


def _connect(host, port, where, timeout):
  began = time.monotonic()
  while True:
    try:
      return socket.create_connection((host, port), timeout=_LINE_SECONDS)
    except OSError as error:
      if time.monotonic() - began > timeout:
        raise UserError(
          f"cannot reach {where} in {timeout:g} s ({error.strerror or error}); "
          "is it running, and is the port open between the hosts?"
        ) from None
    time.sleep(_RETRY_SECONDS)


def _listen(port):
  both = socket.has_dualstack_ipv6()
  family = socket.AF_INET6 if both else socket.AF_INET
  try:
    return socket.create_server(
      ("", port), family=family, backlog=1024, dualstack_ipv6=both
    )
  except OSError as error:
    raise UserError(
      f"process 0 cannot listen on port {port} ({error.strerror}); end what "
      "does, or give another port to all processes"
    ) from None


def _read_line(connection):
  line = b""
  while not line.endswith(b"\n"):
    part = connection.recv(4096)
    if not part or len(line) > _LINE_BYTES:
      raise ValueError("no line")
    line += part
  return line


def _is_open(connection):
  try:
    connection.setblocking(False)
    return connection.recv(1) != b""  # nobody says more than one line
  except BlockingIOError:
    return True
  except OSError:
    return False
  finally:
    connection.settimeout(_LINE_SECONDS)


def _list(processes):
  shown = ", ".join(map(str, processes[:16]))
  more = f" and {len(processes) - 16} more" if len(processes) > 16 else ""
  return f"process{'es' * (len(processes) > 1)} {shown}{more}"


def _names(facts):
  known = [f"{p} on {told['host']}" for p, told in sorted(facts.items())]
  more = f" and {len(known) - 16} more" if len(known) > 16 else ""
  return ", ".join(known[:16]) + more
