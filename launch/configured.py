"""How a command with a config file begins: strict flags, one-line errors.

A relative path such as configs/demo.py that is not there is one of the files
that came with this project, wherever it is installed.
"""

import contextlib
import math
import os
import pathlib
import re
import traceback

from absl import app, flags, logging
from ml_collections import config_flags

from eartalk_jax.config import nearest, to_dict
from eartalk_jax.errors import UserError, one_line
from eartalk_jax.processes.distributed import find_membership, join
from eartalk_jax.processes.interruption import listening, phase
from launch import cli

_SHIPPED = pathlib.Path(__file__).parents[1] / "configs"
_HELP = {"-h", "-help", "--help", "--helpshort", "--helpfull"}
_MOST_PROCESSES = 1_000_000
_LONGEST_WAIT = 1e6  # seconds

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  help_string="Path of the config file; --config.KEY=VALUE changes a value.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Directory of the run; give it again to continue."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "HOST:PORT of process 0 and a free port there, where several processes meet; "
  "the same for all of them.",
)
_PROCESSES = flags.DEFINE_integer(
  "processes",
  None,
  "How many processes train together.",
  lower_bound=1,
  upper_bound=_MOST_PROCESSES,
)
_PROCESS = flags.DEFINE_integer(
  "process",
  None,
  "Which of them this one is, from 0.",
  lower_bound=0,
  upper_bound=_MOST_PROCESSES,
)
_DISTRIBUTED = flags.DEFINE_boolean(
  "distributed",
  None,
  "Ask the cluster (TPU pod, GKE, SLURM, Open MPI) for what the three flags "
  "before do not say; --nodistributed trains here alone, whatever it says.",
)
_JOIN_TIMEOUT = flags.DEFINE_float(
  "join_timeout",
  300.0,
  "Seconds that the other processes have to come.",
  lower_bound=1.0,
  upper_bound=_LONGEST_WAIT,
)
# NaN is within all bounds.
flags.register_validator(
  _JOIN_TIMEOUT, math.isfinite, "give a number of seconds"
)


def run(main, alone=False):
  """Calls main(config, workdir) with what the flags say, and exits.

  Args:
    main: the command.
    alone: it needs no work directory and no other process.
  """

  def call(argv):
    if len(argv) > 1:
      raise UserError(f"unexpected argument {argv[1]!r}; see --help")
    if alone:
      _refuse_company()
    else:
      _join()
    return main(_CONFIG.value, _WORKDIR.value)

  needed = (_CONFIG,) if alone else (_CONFIG, _WORKDIR)
  cli.run(lambda: app.run(call, flags_parser=lambda argv: _parse(argv, needed)))


def _join():
  """Becomes one of several processes, if that is what the flags say."""
  timeout = _JOIN_TIMEOUT.value
  member = find_membership(
    _COORDINATOR.value,
    _PROCESSES.value,
    _PROCESS.value,
    _DISTRIBUTED.value,
    timeout,
  )
  if member is not None:
    with phase("meeting the other processes"), listening() as listener:
      join(member, timeout)
      listener.join()


def _refuse_company():
  """Raises UserError where flags ask a command of one process for several."""
  flags_of_many = (_COORDINATOR, _PROCESSES, _PROCESS, _DISTRIBUTED)
  given = [f"--{flag.name}" for flag in flags_of_many if flag.value]
  if given or _PROCESS.value is not None:
    raise UserError(
      f"{' and '.join(given) or '--process'}: this command is one process; "
      "start it once, without that"
    )


def _parse(argv, needed):
  """Parses flags; whatever is wrong with them is a UserError."""
  # The libraries' notes to themselves; what fails raises as well.
  logging.set_verbosity(logging.FATAL)
  asked = _HELP.intersection(argv[1:])
  if asked:  # absl would end with status 1
    full = "--helpfull" in asked
    app.usage(shorthelp=not full, exitcode=0, writeto_stdout=True)
  argv = _with_shipped_config(argv)
  try:
    left = flags.FLAGS(argv)
    if _CONFIG.value is not None:
      to_dict(_CONFIG.value)  # raises if the file could not be read
  except (UserError, flags.Error) as error:
    where = "--config: " if "Traceback" in str(error) else ""
    raise UserError(where + _last_line(error)) from error
  except (Exception, SystemExit) as error:  # whatever a file may do wrong
    reason = _problem(argv) or f"--config: {_last_line(error)}"
    raise UserError(reason) from error
  for flag in needed:
    if flag.value is None and not flag.present:
      raise UserError(f"--{flag.name} is needed; see --help")
  if not hasattr(_CONFIG.value, "items"):
    kind = type(_CONFIG.value).__name__
    raise UserError(f"--config: get_config() returns {kind}, not a ConfigDict")
  return left


def _with_shipped_config(argv):
  """The arguments, with the path of a config that came with the project."""
  found = list(argv)
  for place, word in enumerate(argv[1:], 1):
    flag, equals, path = word.partition("=")
    if equals and flag.lstrip("-") == "config":
      found[place] = f"{flag}={_shipped(path)}"
    elif argv[place - 1].lstrip("-") == "config":
      found[place] = _shipped(word)
  return found


def _shipped(path):
  """FILE or FILE:ARGUMENT; FILE of this project if it is not here but there."""
  file, colon, argument = path.partition(":")
  ours = _SHIPPED.parent / file
  if os.path.isfile(file) or _SHIPPED not in ours.parents:
    return path
  return f"{ours}{colon}{argument}" if os.path.isfile(ours) else path


def _last_line(error):
  """What happened; some messages are a traceback."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return one_line(lines[-1], most=400)


def _problem(argv):
  """What to say of a config file or of an override; None if it is all right."""
  words = [part for word in argv[1:] for part in word.split("=", 1)]
  words = [word.lstrip("-") for word in words]
  if "config" not in words[:-1]:
    return None
  file = words[words.index("config") + 1]
  try:
    config = flags.FLAGS["config"].parser.parse(file)
  except OSError as error:
    return f"--config {file}: {error.strerror}"
  except (Exception, SystemExit) as error:
    return one_line(f"--config {file}: {_place(error, file)}", most=500)
  with contextlib.suppress(Exception):  # an override as nobody writes it
    return _unknown_key(config, words)


def _place(error, file):
  """What went wrong in a config file, and in which line of it."""
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename.endswith(file)]
  lines = [getattr(error, "lineno", None), *lines[:-2:-1]]
  line = next((f"line {line}: " for line in lines if line), "")
  return f"{line}{type(error).__name__}: {error}"


def _unknown_key(config, words):
  """What to say of the first override of a key that the config has not."""
  for path in (word for word in words if word.startswith("config.")):
    node = config
    for key in re.findall(r"[^.\[\]]+", path)[1:]:
      keys = node.keys() if hasattr(node, "keys") else range(len(node))
      key = int(key) if isinstance(keys, range) else key
      if key not in keys:
        hint = nearest(str(key), map(str, keys))
        return one_line(f"unknown key --{path}; {hint}")
      node = node[key]
  return None
