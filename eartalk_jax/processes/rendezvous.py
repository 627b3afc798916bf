"""Processes find each other before JAX looks for them, and say who is missing.

When one process does not come, JAX aborts all the others without a name. So
each of them first says who it is to process 0, at the address where JAX's
coordinator will listen afterwards, and gets its verdict: all are here, or what
is wrong. One line of JSON each way; nothing that comes in is trusted, and who
is slow, silent or odd keeps nobody waiting.
"""

import json
import re
import socket
import time

from eartalk_jax.config import differences
from eartalk_jax.documents import parse_json
from eartalk_jax.errors import UserError, one_line
from eartalk_jax.processes.guests import (
  LINE_BYTES,
  LINE_SECONDS,
  Guests,
  name_of,
)

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
  name = host.strip("[]")
  try:
    name.encode("idna")  # as whoever looks it up will
  except UnicodeError:
    name = ""
  known = re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 1 << 16
  if not known or not re.fullmatch(r"[^\s/]+", name):
    raise UserError(
      f"coordinator {address!r}: write HOST:PORT, the address of process 0 "
      "and a free port there"
    )
  return name, int(port)


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


def _gather(port, mine, processes, timeout):
  """Process 0: hears everybody and answers."""
  with _listen(port) as server, Guests(server, mine, processes) as guests:
    try:
      error = _hear(guests, processes, timeout)
    except BaseException:
      guests.answer("process 0 was stopped before all had come")
      raise
    guests.answer(error)
  if error:
    raise UserError(error)


def _hear(guests, processes, timeout):
  """Waits for all; returns what is wrong, or None."""
  began = told = time.monotonic()
  while missing := guests.missing():
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
    error = guests.wait(min(began + timeout - now + 0.01, 1.0))
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
  until = time.monotonic() + timeout + LINE_SECONDS
  try:
    with connection:
      connection.sendall(json.dumps(mine).encode() + b"\n")
      error = _verdict(_read_line(connection, until))
  except TimeoutError:
    raise UserError(
      f"{where} did not say within {timeout:g} s whether all are there; look "
      "at its log"
    ) from None
  except (OSError, ValueError, UserError):
    raise UserError(
      f"{where} ended, or is another program, before all had come; look at "
      "its log"
    ) from None
  if error:
    raise UserError(error)


def _verdict(line):
  """What is wrong, on one line, or None, of what process 0 said."""
  match parse_json(line, "verdict"):
    case {"error": None}:
      return None
    case {"error": str(error)} if error:
      return one_line(error)
  raise ValueError("no verdict")


def _connect(host, port, where, timeout):
  began, reason = time.monotonic(), ""
  while time.monotonic() - began <= timeout:
    try:
      connection = socket.create_connection((host, port), LINE_SECONDS)
      # A port that nobody listens on may be lent to the very one who asks.
      if connection.getsockname() != connection.getpeername():
        return connection
      connection.close()
    except OSError as error:
      reason = f" ({error.strerror or error})"
    time.sleep(_RETRY_SECONDS)
  raise UserError(
    f"cannot reach {where} in {timeout:g} s{reason}; is it running, and is the "
    "port open between the hosts?"
  )


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


def _read_line(connection, until):
  """A line, which has to be there by a time of the monotonic clock."""
  line = b""
  while not line.endswith(b"\n"):
    left = until - time.monotonic()
    if left <= 0:
      raise TimeoutError
    connection.settimeout(left)
    part = connection.recv(4096)
    if not part or len(line) > LINE_BYTES:
      raise ValueError("no line")
    line += part
  return line


def _list(processes):
  shown = ", ".join(map(str, processes[:16]))
  more = f" and {len(processes) - 16} more" if len(processes) > 16 else ""
  return f"process{'es' * (len(processes) > 1)} {shown}{more}"


def _names(facts):
  known = [f"{p} on {told['host']}" for p, told in sorted(facts.items())]
  more = f" and {len(known) - 16} more" if len(known) > 16 else ""
  return ", ".join(known[:16]) + more
