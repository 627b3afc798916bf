"""Before a run: every process says what it is, and all must fit together."""

import json
import os
import pathlib
import platform
import socket
import time

import jax
import jaxlib

from eartalk_jax.config import to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.files import sha256_of_json
from eartalk_jax.outputs import make_directory
from eartalk_jax.processes.distributed import Board
from eartalk_jax.processes.guests import name_of
from eartalk_jax.processes.rendezvous import odd_ones


def preflight(config, workdir, data, timeout=300.0):
  """Prints a line for this process; returns once all processes agree.

  Args:
    config: all settings, as a dataclass or dictionary.
    workdir: of the run.
    data: fingerprint of what is learned from, as JSON has it.
    timeout: seconds that the others have.

  Raises:
    UserError: processes have other versions, devices, settings or data, or do
      not answer; the message, the same on all of them, names them.
  """
  facts = _facts(to_dict(config), data)
  facts["workdir"] = str(pathlib.Path(workdir).absolute())
  mine, count = jax.process_index(), jax.process_count()
  print(_line(mine, count, facts), flush=True)
  if count == 1:
    return
  if not jax.distributed.is_initialized():
    raise UserError(
      f"this is one of {count} processes and has not met the others; add "
      "--distributed"
    )
  board = Board("preflight")
  told = {"host": socket.gethostname(), "facts": facts}
  board.put(mine, json.dumps(told))
  if mine == 0:
    board.put("verdict", json.dumps(_judge(board, count, timeout)))
  verdict = board.get("verdict", timeout + 10)
  if verdict is None:
    raise UserError(
      f"process 0 did not say within {timeout:g} s whether all processes fit "
      "together; look at its log"
    )
  if error := json.loads(verdict):
    raise UserError(error)


def check_shared(workdir, timeout=10.0):
  """Raises UserError unless all processes see one and the same directory.

  Else each of them would save its part of a checkpoint where nobody finds it.

  Args:
    workdir: made if need be.
    timeout: seconds that a file of one host may take to be seen by another.
  """
  if jax.process_count() == 1:
    return
  board = Board("shared")
  token = pathlib.Path(workdir) / f".seen{os.getpid()}.{time.time_ns()}"
  if board.process == 0:
    make_directory(token.parent)
    token.touch()
    board.put("name", token.name)
  else:
    name = board.get("name", 60.0 + timeout)
    seen = bool(name) and _appears(token.with_name(name), timeout)
    board.put(board.process, "yes" if seen else "no")
  others = range(1, board.processes)
  said = {p: board.get(p, 60.0 + 2 * timeout) for p in others}
  if board.process == 0:
    token.unlink()
  blind = [str(p) for p, word in said.items() if word != "yes"]
  if blind:
    raise UserError(
      f"{token.parent} is another directory on process {', '.join(blind)} than "
      "on process 0; give a --workdir on a file system that all hosts share"
    )


def _appears(path, timeout):
  end = time.monotonic() + timeout
  while not path.exists():
    if time.monotonic() > end:
      return False
    time.sleep(0.1)
  return True


def _facts(config, data):
  devices = jax.local_devices()
  return {
    "python": platform.python_version(),
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "devices": f"{len(devices)} x {devices[0].device_kind}",
    "config": sha256_of_json(config)[:12],
    "data": sha256_of_json(to_dict(data))[:12],
  }


def _line(process, count, facts):
  who = name_of(process, socket.gethostname())
  said = "  ".join(f"{name} {value}" for name, value in facts.items())
  return f"{who} of {count}: {said}"


def _judge(board, count, timeout):
  """Process 0: reads what all of them say; what is wrong with it, or None."""
  end = time.monotonic() + timeout
  heard = {p: board.get(p, end - time.monotonic()) for p in range(count)}
  missing = [str(p) for p, text in heard.items() if text is None]
  if missing:
    return (
      f"no word from process {', '.join(missing)} of {count} within "
      f"{timeout:g} s; look at its log"
    )
  facts = {p: json.loads(text) for p, text in heard.items()}
  odd = odd_ones(facts)
  if odd:
    return f"{'; '.join(odd)}; start the same everywhere"
  return None
