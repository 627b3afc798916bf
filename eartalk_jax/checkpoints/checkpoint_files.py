"""The folders below WORKDIR/checkpoints: which count, which are to go.

500                          committed, if commit_success.txt is in it
500.orbax-checkpoint-tmp     a save that is under way, or was killed
500.removed                  being deleted: a half-deleted one has no number
"""

import os
import pathlib
import re
import shutil

from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError

# Seconds since 1970, about: calendars end there.
_YEAR_9999 = 2.5e11
# What a checkpoint consists of.
ITEMS = ("state", "ema", "data")
_COMMITTED = "commit_success.txt"
# As Orbax writes a step, which is an int32.
_STEP = re.compile(r"0|[1-9][0-9]{0,9}")
_LAST = 2**31 - 1
_LEFTOVER = re.compile(r"[0-9]+\.(orbax-checkpoint-tmp.*|removed)")


def checkpoints_of(workdir):
  """WORKDIR/checkpoints as an absolute path."""
  return pathlib.Path(workdir).absolute() / "checkpoints"


def numbered(directory):
  """The steps that something is named after, committed or not, in order.

  Raises:
    UserError: the directory cannot be read.
  """
  try:
    names = os.listdir(directory)
  except (FileNotFoundError, NotADirectoryError):
    return []
  except (OSError, ValueError) as error:  # a name with a NUL
    reason = getattr(error, "strerror", error)
    raise UserError(
      f"{str(directory)!r} cannot be read ({reason}); give another folder, or "
      "make it readable"
    ) from None
  steps = [int(name) for name in names if _STEP.fullmatch(name)]
  return sorted(step for step in steps if step <= _LAST)


def is_committed(step_directory):
  """Whether a save or a copy of this checkpoint came to its end."""
  return os.path.isfile(os.path.join(step_directory, _COMMITTED))


def committed_steps(directory):
  """The steps that can be restored, in order."""
  directory = pathlib.Path(directory)
  return [s for s in numbered(directory) if is_committed(directory / str(s))]


def require_step(step, steps, directory):
  """Raises UserError, which names `steps`, if a step is not one of them."""
  if step not in steps:
    known = ", ".join(map(str, steps)) or "none"
    raise UserError(f"there is no step {step} in {directory}; there: {known}")


def saved_at(step_directory):
  """Seconds since 1970 when it was committed, or None if it does not say."""
  path = pathlib.Path(step_directory) / "_CHECKPOINT_METADATA"
  try:
    seconds = read_json(path)["commit_timestamp_nsecs"] / 1e9
  except (UserError, LookupError, TypeError):
    return None
  return seconds if 0 <= seconds < _YEAR_9999 else None


def size_of(step_directory):
  """Bytes of all files."""
  files = pathlib.Path(step_directory).rglob("*")
  return sum(path.stat().st_size for path in files if path.is_file())


def leftovers(directory):
  """What killed saves and removals left: nothing that anybody needs."""
  directory = pathlib.Path(directory)
  torn = [
    path for path in directory.glob("*") if _LEFTOVER.fullmatch(path.name)
  ]
  return torn + list(directory.glob("*/.manifest.json.*.tmp"))


def remove_leftovers(directory):
  """Deletes leftovers; nothing else is ever deleted unasked."""
  for path in leftovers(directory):
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path, ignore_errors=True)
    else:
      path.unlink(missing_ok=True)


def remove_old(directory, keep, keep_every):
  """Deletes all committed steps but the last `keep` and the milestones.

  Args:
    directory: WORKDIR/checkpoints.
    keep: number of steps.
    keep_every: multiples of it stay for ever; 0 for none.
  """
  directory = pathlib.Path(directory)
  for step in committed_steps(directory)[:-keep]:
    if keep_every and step % keep_every == 0:
      continue
    # First the name: a kill must not leave half of what looks like a whole.
    removed = directory / f"{step}.removed"
    (directory / str(step)).rename(removed)
    if removed.is_symlink():  # to where somebody has moved it
      removed.unlink()
    else:
      shutil.rmtree(removed)


def refuse_incomplete(directory):
  """Raises UserError if the newest folder is no whole checkpoint.

  A save that was killed never looks so, but a copy that was interrupted does;
  to begin anew instead would surprise.
  """
  steps, whole = numbered(directory), committed_steps(directory)
  if steps and steps[-1:] != whole[-1:]:
    instead = f"step {whole[-1]}" if whole else "the beginning"
    raise UserError(
      f"{directory / str(steps[-1])} is not a whole checkpoint: it has no "
      f"{_COMMITTED} that can be read, as if a copy had been interrupted; copy "
      f"it again, or delete that folder to go on from {instead}"
    )


def choose_checkpoint(workdir, step=None):
  """WORKDIR/checkpoints/STEP, the newest unless `step` is given.

  Raises:
    UserError: there is none, or the newest is half a copy.
  """
  directory = checkpoints_of(workdir)
  steps = committed_steps(directory)
  if step is None:
    refuse_incomplete(directory)
  if not steps:
    raise UserError(f"there is no checkpoint in {directory}; train first")
  step = steps[-1] if step is None else step
  require_step(step, steps, directory)
  return directory / str(step)
