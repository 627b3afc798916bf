"""What a finished checkpoint consists of: STEP/manifest.json.

  {"step": 500, "files": {"state/d/1f": {"bytes": 10, "sha256": "..."}, ...}}

Written once everything else is committed. Orbax vouches for the order of
writing; the manifest shows what a copy, a disk or a person did afterwards.
"""

import concurrent.futures
import pathlib
import stat

from eartalk_jax.checkpoints.checkpoint_files import ITEMS
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.files import sha256_of_file, write_json

NAME = "manifest.json"
# Hashing releases the interpreter; more threads outrun common storage.
_THREADS = 4


def write_manifest(step_directory):
  """Hashes every file of a committed checkpoint; may take minutes."""
  directory = pathlib.Path(step_directory)
  paths = [
    path
    for path in sorted(directory.rglob("*"))
    if path.is_file() and NAME not in path.name
  ]
  files = {}
  for path, measured in zip(paths, _measure(paths), strict=True):
    if isinstance(measured, OSError):
      raise measured
    size, digest = measured
    name = path.relative_to(directory).as_posix()
    files[name] = {"bytes": size, "sha256": digest}
  write_json(directory / NAME, {"step": int(directory.name), "files": files})


def has_manifest(step_directory):
  """Whether there is a manifest to compare with."""
  return (pathlib.Path(step_directory) / NAME).is_file()


def find_damage(step_directory, below="", part=0, parts=1):
  """Compares the files of a checkpoint with its manifest.

  Args:
    step_directory: WORKDIR/checkpoints/STEP.
    below: only files whose path begins so.
    part, parts: looks at every `parts`-th file, from number `part`.

  Returns:
    One phrase for each file that is missing or differs. Without a manifest
    only a whole part can be found missing.
  """
  directory = pathlib.Path(step_directory)
  if not has_manifest(directory):
    return [
      f"{item}/ is missing"
      for item in ITEMS
      if f"{item}/".startswith(below) and not (directory / item).is_dir()
    ]
  listed = _listed(directory / NAME)
  if listed is None:
    return [f"{NAME} cannot be read"]
  chosen = [(name, said) for name, said in listed if name.startswith(below)]
  chosen = chosen[part::parts]
  found = _measure(directory / name for name, _ in chosen)
  return [
    f"{name} {wrong}"
    for (name, said), measured in zip(chosen, found, strict=True)
    if (wrong := _compare(said, measured))
  ]


def _listed(path):
  """[(name, {"bytes", "sha256"})] of a manifest; None if it is none."""
  try:
    manifest = read_json(path)
  except UserError:
    return None
  match manifest:
    case {"files": dict(files)} if all(map(_is_entry, files.items())):
      return sorted(files.items())
  return None


def _is_entry(entry):
  name, said = entry
  # Only what is below the checkpoint is looked at.
  parts = pathlib.PurePosixPath(name).parts
  below = parts and ".." not in parts and parts[0] != "/" and "\0" not in name
  match said:
    case {"bytes": int(), "sha256": str()}:
      return bool(below)
  return False


def _compare(said, measured):
  if isinstance(measured, OSError):
    missing = isinstance(measured, FileNotFoundError)
    return "is missing" if missing else f"cannot be read ({measured.strerror})"
  size, digest = measured
  if size != said["bytes"]:
    return f"has {size} bytes instead of {said['bytes']}"
  return "" if digest == said["sha256"] else "has another content"


def _measure(paths):
  """[(bytes, sha256)] of files; an OSError for those that cannot be read."""

  def measure(path):
    try:
      status = path.stat()
      if not stat.S_ISREG(status.st_mode):  # to open a pipe is to wait for ever
        raise FileNotFoundError
      return status.st_size, sha256_of_file(path)
    except OSError as error:
      return error

  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    return list(pool.map(measure, paths))
