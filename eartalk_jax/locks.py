"""One process at a time in a folder that it writes."""

import contextlib
import fcntl
import os
import pathlib

from eartalk_jax.errors import UserError


def lock(directory):
  """Keeps others out of a folder; None if one is in it already.

  Returns a file descriptor: closing it, or the end of the process, however it
  ends, lets others in. Where a network file system has no such lock, nobody is
  kept out.
  """
  descriptor = os.open(directory, os.O_RDONLY)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    os.close(descriptor)
    return None
  except OSError:
    pass
  if not is_at(descriptor, directory):  # renamed or removed meanwhile
    os.close(descriptor)
    return None
  return descriptor


def is_at(descriptor, path):
  """Whether what is open is still what has that name."""
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


@contextlib.contextmanager
def alone_in(directory, flag="--out"):
  """A context in which no other command works in a folder, which it makes.

  A folder that it made, and in which there is nothing at the end, is removed.

  Raises:
    UserError: another one works there, or the folder cannot be made.
  """
  directory = pathlib.Path(directory)
  try:
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = lock(directory)
  except (OSError, ValueError) as error:  # ValueError: a NUL in it
    reason = getattr(error, "strerror", None) or error
    raise UserError(
      f"{flag} {directory}: {reason}; give another folder"
    ) from None
  if descriptor is None:
    raise UserError(
      f"another command is at work in {directory}; wait for it, or give "
      f"another {flag}"
    )
  try:
    yield directory
  finally:
    if made:
      with contextlib.suppress(OSError):  # there is something in it
        directory.rmdir()
    os.close(descriptor)
