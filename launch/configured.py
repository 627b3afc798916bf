"""How a command with a config file begins: strict flags, one-line errors."""

import re

from absl import app, flags, logging
from ml_collections import config_flags

from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError
from eartalk_jax.processes.distributed import find_membership, join
from eartalk_jax.processes.interruption import listening, phase
from launch import cli

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
  "processes", None, "How many processes train together.", lower_bound=1
)
_PROCESS = flags.DEFINE_integer(
  "process", None, "Which of them this one is, from 0.", lower_bound=0
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
)


def run(main, alone=False):
  """Calls main(config, workdir) with what the flags say, and exits.

  Args:
    main: the command.
    alone: it needs no work directory and no other process.
  """

  def call(argv):
    # The libraries' notes to themselves; what fails raises as well.
    logging.set_verbosity(logging.FATAL)
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
  try:
    left = flags.FLAGS(argv)
    if any(flags.FLAGS[name].value for name in ("help", "helpshort")):
      app.usage(shorthelp=True, exitcode=0, writeto_stdout=True)
    for flag in needed:
      if flag.value is None:
        raise UserError(f"--{flag.name} is needed; see --help")
    _CONFIG.value.keys()  # raises if the file could not be read
  except (UserError, flags.Error) as error:
    raise UserError(str(error)) from error
  except OSError as error:
    reason = str(error).strip().splitlines()[-1].strip()
    raise UserError(f"--config: {reason}") from error
  except Exception as error:  # whatever a config file may do wrong
    raise UserError(_unknown_key(argv) or f"--config: {error}") from error
  return left


def _unknown_key(argv):
  """What to say of the first override of a key that the config has not."""
  words = [part for word in argv[1:] for part in word.split("=", 1)]
  file = words[words.index("--config") + 1]
  config = flags.FLAGS["config"].parser.parse(file)
  for path in (word for word in words if word.startswith("--config.")):
    node = config
    for key in re.findall(r"[^.\[\]]+", path)[1:]:
      keys = node.keys() if hasattr(node, "keys") else range(len(node))
      key = int(key) if isinstance(keys, range) else key
      if key not in keys:
        return f"unknown key {path}; {nearest(str(key), map(str, keys))}"
      node = node[key]
  return None
