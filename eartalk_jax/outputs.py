"""Whether a command can write what it is asked for, known before it works.

Each check tries, with the very name that will be used, and leaves no trace.
What is about to be replaced must not be what the command reads.
"""

import contextlib
import os
import pathlib

from eartalk_jax import files
from eartalk_jax.errors import UserError

# Whoever tries in the same new folder may take it away in between.
_TRIES = 5


def check_file(path, flag="--out", reads=(), ending=""):
  """Raises UserError if no file can be written there, or none may be.

  A link as `path` is replaced by the file, as `files.replacing` does it; what
  it links to stays as it is.

  Args:
    path: the file to write; folders above it are made if need be.
    flag: the option that named it, for the message.
    reads: files and folders that the command reads; None among them counts
      for nothing. A new file inside of such a folder is no harm.
    ending: which the name must have, as ".png".
  """
  with _telling(path, flag) as name:
    files.check_replaceable(path, name)
    if not os.fspath(path).lower().endswith(ending):
      raise UserError(f"{name}: give a name that ends in {ending}")
    target = pathlib.Path(path)
    # Through folders that are not there yet: new/../x is x.
    real = pathlib.Path(os.path.realpath(target.parent), target.name)
    if os.path.lexists(real):
      for read in reads:
        _refuse_overwriting(real, read, name)
    _try(target.parent, files.temporary_of(target).name)


def check_folder(path, flag="--out", reads=()):
  """Raises UserError if no folder can be made or filled there, or none may be.

  Args:
    path: the folder to write to, there or not.
    flag: the option that named it, for the message.
    reads: folders that the command reads: none of them may be this one. Files
      and None among them count for nothing.
  """
  with _telling(path, flag) as name:
    if not os.fspath(path):
      raise UserError(f"{flag}: an empty name; give that of a folder")
    target = pathlib.Path(path)
    real = pathlib.Path(os.path.realpath(target))
    if real.exists() and not real.is_dir():
      raise UserError(f"{name} is no folder; give another name")
    for read in reads:
      if read is not None and _same(real, pathlib.Path(read)):
        raise UserError(f"{name} is what the command reads; give another")
    _try(target, f".{os.getpid()}.tmp")


@contextlib.contextmanager
def _telling(path, flag):
  """Yields what to call a path; whatever is wrong with it becomes one line."""
  shown = os.fspath(path)
  name = f"{flag} {shown if shown.isprintable() else repr(shown)}"
  try:
    yield name
    return
  except FileExistsError as error:
    reason = f"{error.filename} is no folder"
  except OSError as error:
    reason = f"cannot be written ({error.strerror or error})"
  except ValueError as error:  # a NUL in it
    reason = f"is no file name ({error})"
  raise UserError(f"{name}: {reason}; give another name")


def _refuse_overwriting(target, read, name):
  """Raises UserError if `target`, which is there, is `read` or lies in it."""
  if read is None:
    return
  read = pathlib.Path(read)
  if _same(target, read):
    raise UserError(f"{name} is what the command reads; give another")
  if read.is_dir():
    folder = read.resolve()
    # Where the name stands, and where it leads to if it is a link.
    for place in (target, target.resolve()):
      if place.is_relative_to(folder):
        raise UserError(
          f"{name} is a file of {read}, which the command reads; give another"
        )


def _same(one, other):
  """Whether two names are one file or folder, by any links."""
  try:
    return one.samefile(other)
  except OSError:  # one of them is not there
    return False


def _try(folder, name):
  """Makes a folder and an empty file in it, and takes both away again."""
  for left in reversed(range(_TRIES)):
    made = []
    try:
      _make(folder.absolute(), made)
      probe = folder / name
      os.close(os.open(probe, os.O_CREAT | os.O_WRONLY))
      probe.unlink(missing_ok=True)
      return
    except FileNotFoundError:
      if not left:
        raise
    finally:
      for step in reversed(made):
        with contextlib.suppress(OSError):  # somebody uses it by now
          step.rmdir()


def _make(folder, made):
  """Makes a folder and those above; appends what was not there to `made`."""
  for step in reversed([folder, *folder.parents]):
    if not step.is_dir():
      try:
        step.mkdir()
        made.append(step)
      except FileExistsError:
        if not step.is_dir():  # a file, not another process's folder
          raise


def make_directory(path):
  """Makes a directory that can be written, or raises UserError."""
  try:
    path.mkdir(parents=True, exist_ok=True)
    probe = path / ".writable"
    probe.touch()
    probe.unlink(missing_ok=True)  # another process may have been faster
  except OSError as error:
    raise UserError(
      f"cannot write to {path}: {error.strerror}; choose another --workdir"
    ) from None
