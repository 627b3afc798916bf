"""Files that are there whole or not at all."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys

from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in, is_at


def temporary_of(path):
  """The name beside a file under which this process writes it."""
  return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def check_replaceable(path, name):
  """Raises UserError if a path stands for something that is no file.

  Args:
    path: what is to be written.
    name: what it is called in the message.
  """
  text = os.fspath(path)
  real = os.path.realpath(text)
  if not text or text.endswith(os.sep) or os.path.isdir(real):
    raise UserError(f"{name} is a folder; give the name of a file")
  if os.path.exists(real) and not os.path.isfile(real):
    raise UserError(f"{name} is no ordinary file; give another name")


@contextlib.contextmanager
def replacing(path):
  """Yields an empty temporary file beside `path`; renames it on success.

  The content is on the disk before the name is. On any failure the temporary
  file is removed and an older file of that name stays as it was; what a killed
  process left of the same file is removed too. If `path` is a link, the link is
  replaced, not what it links to. Folders above are made.

  Raises:
    UserError: it is no ordinary file, or the operating system could not write,
      such as a full disk.
  """
  check_replaceable(path, path)
  path = pathlib.Path(path)
  temporary = temporary_of(path)
  with _naming(path, temporary):
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    descriptor = _claim(temporary)
    try:
      yield temporary
      with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
      os.replace(temporary, path)
    except BaseException:
      with contextlib.suppress(OSError):  # the first failure is the one to name
        temporary.unlink()
      raise
    finally:
      os.close(descriptor)


@contextlib.contextmanager
def making_folder(path):
  """Yields an empty folder beside `path`; renames it to `path` on success.

  What a killed process left of it is removed.

  Raises:
    UserError: something is there already, another process is making it, or the
      system could not write.
  """
  path = pathlib.Path(path)
  partial = path.with_name(f".{path.name}.partial")
  with _naming(path, partial), alone_in(partial):
    try:
      if os.path.lexists(path):
        raise UserError(f"{path} is there already; delete it or choose another")
      for entry in os.scandir(partial):
        if entry.is_dir(follow_symlinks=False):
          shutil.rmtree(entry)
        else:
          os.unlink(entry)
      yield partial
      os.replace(partial, path)
    finally:
      shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _naming(path, temporary):
  """Says of what the system could not write that `path` could not be written.

  Errors about other files, which the caller reads meanwhile, pass.
  """
  before = sys.exception()
  try:
    yield
  except OSError as error:
    first = _first(error, before)
    if not isinstance(first, OSError):
      raise first from None
    if first.filename is not None:
      named = pathlib.Path(os.fsdecode(first.filename))
      ours = {temporary, path, *path.parents}
      if named not in ours and temporary not in named.parents:
        raise
    raise UserError(
      f"cannot write {path}: {first.strerror or first}; free some space or "
      "choose another folder, then run the same command again"
    ) from first


def _first(error, before):
  """The failure before those of closing files after it."""
  kinds = OSError, UserError, KeyboardInterrupt
  while isinstance(error.__context__, kinds) and error.__context__ != before:
    error = error.__context__
  return error


def _claim(temporary):
  """Makes a file, held by a lock as long as the descriptor it returns."""
  while True:
    descriptor = os.open(temporary, os.O_CREAT | os.O_RDWR, 0o666)
    with contextlib.suppress(OSError):  # a file system without locks
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    if is_at(descriptor, temporary):
      return descriptor
    os.close(descriptor)  # another thread's, which is done by now


def _remove_leftovers(path):
  """Removes temporary files of `path` that no process holds."""
  pattern = re.compile(re.escape(f".{path.name}.") + r"\d+\.tmp")
  for entry in os.scandir(path.parent):
    if not pattern.fullmatch(entry.name):
      continue
    with contextlib.suppress(OSError):  # held, or gone by now
      descriptor = os.open(entry, os.O_RDWR)
      try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(entry)
      finally:
        os.close(descriptor)


def write_text(path, text):
  """Writes a text file atomically."""
  with replacing(path) as temporary:
    temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
  """Writes JSON atomically: sorted keys, so equal values give equal bytes."""
  write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def sha256_of_file(path):
  """Hex digest of a file's content."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value):
  """Hex digest of a JSON-able value; the order of keys does not matter."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
