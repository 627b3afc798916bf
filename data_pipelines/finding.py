"""The media files in a tree of folders."""

import collections
import dataclasses
import os
import pathlib

from data_pipelines.names import printable
from eartalk_jax.errors import UserError

_VIDEO = "mp4 m4v mov qt 3gp 3g2 mkv webm avi mpg mpeg ts mts m2ts wmv flv"
ENDINGS = tuple(f".{ending}" for ending in _VIDEO.split())
# So many kinds of files that are passed over are named.
_KINDS = 8
# Longer ones are no endings, but names with a dot in them.
_LONGEST = 12


@dataclasses.dataclass
class Found:
  """What is in a tree.

  Attributes:
    names: of the media files, relative to the tree, sorted.
    passed_over: ending -> how many other files.
    twice: how many names are links to files that are there by another name.
    closed: folders that could not be looked into, each with the reason.
  """

  names: list = dataclasses.field(default_factory=list)
  passed_over: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  twice: int = 0
  closed: list = dataclasses.field(default_factory=list)

  def lines(self):
    """What is not taken: a line for each cause, to be printed."""
    lines = [f"passed over the folder {text}" for text in self.closed]
    kinds = dict(self.passed_over.most_common(_KINDS))
    rest = self.passed_over.total() - sum(kinds.values())
    if rest:
      kinds["others"] = rest
    if kinds:
      said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
      lines.append(f"passed over by their endings: {said}")
    if self.twice:
      lines.append(f"passed over {self.twice} links to files that are taken")
    return lines


def find_media(directory, but=None):
  """Finds all media files below a folder, also behind links.

  Each folder is looked into once and each file taken once, by the name that
  goes through the fewest links.

  Args:
    directory: where to look.
    but: a folder not to look into.

  Returns:
    `Found`. What has the name of a video and is no file is among the names.

  Raises:
    UserError: there is none.
  """
  if not os.path.isdir(directory):
    raise UserError(f"--input {directory} is no folder; give one with videos")
  found = Found()
  _walk(pathlib.Path(directory), but, found)
  found.names.sort()
  if not found.names:
    raise UserError(
      f"--input {directory} holds no {', '.join(ENDINGS)} file; give a folder "
      "with videos"
    )
  return found


def _walk(root, but, found):
  seen = set()
  if but is not None:
    seen.add(_identity(but))
  waiting, links = collections.deque([root]), collections.deque()
  while waiting or links:
    path = waiting.popleft() if waiting else links.popleft()
    if not os.path.isdir(path):
      _take(path, path.relative_to(root).as_posix(), found, seen)
      continue
    if _identity(path) in seen:
      continue
    seen.add(_identity(path))
    try:
      entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
      name = printable(path.relative_to(root).as_posix())
      found.closed.append(f"{name} ({error.strerror})")
      continue
    for entry in entries:
      (links if entry.is_symlink() else waiting).append(path / entry.name)


def _identity(path):
  """What is the same for all names of a file or folder."""
  try:
    status = os.stat(path)
  except OSError:  # such as a broken link, which is no other's
    return path
  return status.st_dev, status.st_ino


def _take(path, name, found, seen):
  ending = path.suffix.lower()
  if ending in ENDINGS:
    if _identity(path) in seen:
      found.twice += 1
      return
    seen.add(_identity(path))
    found.names.append(name)
  elif not name.endswith(".truth.json"):
    kind = printable(ending) if ending else "without one"
    found.passed_over[kind if len(kind) <= _LONGEST else "others"] += 1
