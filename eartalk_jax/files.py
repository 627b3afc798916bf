"""Files that are there whole or not at all."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil

from eartalk_jax.errors import UserError


def temporary_of(path):
  """The name beside a file under which this process writes it."""
  return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def check_replaceable(path):
  """Raises UserError if a name stands for something that is no file."""
  text = os.fspath(path)
  real = os.path.realpath(text)
  if not text or text.endswith(os.sep) or os.path.isdir(real):
    raise UserError("is a folder; give the name of a file")
  if os.path.exists(real) and not os.path.isfile(real):
    raise UserError("is no ordinary file; give another name")


@contextlib.contextmanager
def replacing(path):
  """Yields a temporary path beside `path`; renames it to `path` on success.

  The content is on the disk before the name is. On any failure the temporary
  file is removed and an older file of that name stays as it was.

  Raises:
    UserError: the operating system could not write, such as a full disk.
  """
  path = pathlib.Path(path)
  temporary = temporary_of(path)
  try:
    yield temporary
    with open(temporary, "rb+") as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    if error.filename not in (None, str(temporary)):
      raise  # about something that the caller reads meanwhile
    raise UserError(
      f"cannot write {path}: {error.strerror or error}; free some space or "
      "choose another folder, then run the same command again"
    ) from error
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def making_folder(path):
  """Yields an empty folder beside `path`; renames it to `path` on success.

  Raises:
    UserError: something is there already, or the system could not write.
  """
  path = pathlib.Path(path)
  if path.exists():
    raise UserError(f"{path} is there already; delete it or choose another")
  partial = path.with_name(f".{path.name}.partial")
  shutil.rmtree(partial, ignore_errors=True)
  try:
    partial.mkdir(parents=True)
    yield partial
    os.replace(partial, path)
  except OSError as error:
    raise UserError(
      f"cannot write {path}: {error.strerror or error}; free some space or "
      "choose another folder"
    ) from error
  finally:
    shutil.rmtree(partial, ignore_errors=True)


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
