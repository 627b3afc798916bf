"""Files are ingested in a child process; what one does to it, that one pays.

Writing the records stays with the parent, so a full disk is never held against
a file.
"""

import itertools
import os
import traceback

from data_pipelines.faces import try_detector
from data_pipelines.ingest import ingest_file
from data_pipelines.isolation import Crash, Isolated, Limits
from data_pipelines.names import printable
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError

# Seconds without a sign of life, such as half a second of pictures or a packet
# of sound, after which a file is given up.
_SECONDS = 50.0
# Bytes: the largest decoders take about 2 GiB, three hours of sound 0.4. The
# longest record comes on top, for it is held while it is made and sent.
_MEMORY, _RECORDS = 4 << 30, 3


def ingest_apart(path, name, settings):
  """Yields what `ingest.ingest_file` yields, whatever the file does.

  A file that ends its process is tried once more, in a fresh one: an earlier
  file may have been to blame, or the kernel, short of memory. What ends that
  one too is rejected as crashed, too_much_memory, or too_slow (at once).

  Raises:
    UserError: the detector failed, or the child was told to end.
  """
  limits = Limits(_SECONDS, _MEMORY + _RECORDS * settings.record_bytes)
  child, given = _child(settings.faces), 0
  for tries_left in (1, 0):
    pieces = child.pieces(_ingest, path, name, settings, limits=limits)
    try:
      for piece in itertools.islice(pieces, given, None):
        given += 1
        yield piece
      return
    except Crash as crash:
      if not tries_left or crash.reason == "too_slow":
        reject = Reject(crash.reason, crash.detail)
        yield None, reject.row(printable(name))
        return


# Detector -> the child of this process, which ends with it.
_children = {}


def _child(faces):
  if faces not in _children:
    _children[faces] = Isolated((_begin, faces), f"--faces {faces}")
  return _children[faces]


def _begin(faces):
  """Loads whatever is loaded at its first use, so that no file pays for it."""
  try_detector(faces)


def _ingest(path, name, settings):
  """As `ingest_file`; nothing that it raises ends more than the file."""
  try:
    yield from ingest_file(path, name, settings)
    return
  except UserError:
    raise
  except MemoryError:
    reject = Reject("too_much_memory", "needs more memory than there is")
  except Exception as error:
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(at.filename)}:{at.lineno}"
    reject = Reject("unexpected", f"{error!r} in {where}")
  yield None, reject.row(printable(name))
