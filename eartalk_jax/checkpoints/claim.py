"""A work directory is one run's at a time: its lock and what it says of itself.

A start locks first, compares then, and writes as late as it can. So one that is
refused, or that fails before its first step, changes nothing of the run that
was there.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

import jax

from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  committed_steps,
)
from eartalk_jax.checkpoints.checkpoint_reading import anywhere
from eartalk_jax.checkpoints.resumption import check_same_run
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.files import write_json
from eartalk_jax.locks import lock
from eartalk_jax.outputs import make_directory


@contextlib.contextmanager
def holding(workdir):
  """A context in which no other run works in a work directory.

  All processes of a run enter it together; the first holds the lock.

  Raises:
    UserError: another run is at work there, or it cannot be written; on all
      processes alike.
  """
  directory = checkpoints_of(workdir)
  make_directory(directory)
  first = jax.process_index() == 0
  try:
    held = lock(directory) if first else None
  except OSError as error:
    raise UserError(
      f"cannot read {directory}: {error.strerror}; choose another --workdir"
    ) from None
  if anywhere(first and held is None):
    raise UserError(
      f"another process trains in {workdir}; stop it or choose another "
      "--workdir"
    )
  try:
    yield
  finally:
    if held is not None:
      os.close(held)


@dataclasses.dataclass(frozen=True)
class Claim:
  """What a run writes of itself beside its checkpoints.

  Attributes:
    config: the resolved configuration: dictionaries, lists and scalars.
    free: dotted keys that may change while a run goes on.
    folders: {name: function that fills WORKDIR/name}, of what the run needs.
  """

  config: dict
  free: tuple[str, ...] = ()
  folders: dict[str, Callable] = dataclasses.field(default_factory=dict)

  def check(self, workdir):
    """Raises UserError if checkpoints of another configuration are there."""
    path = pathlib.Path(workdir) / "config.json"
    steps = committed_steps(checkpoints_of(workdir))
    if path.exists() and steps:
      saved = read_json(path, "it is damaged: copy it again")
      current = json.loads(json.dumps(self.config))
      check_same_run(saved, current, steps[-1], workdir, self.free)

  def write(self, workdir):
    """Writes WORKDIR/config.json and the folders; on the first process."""
    if jax.process_index():
      return
    workdir = pathlib.Path(workdir)
    write_json(workdir / "config.json", self.config)
    for name, save in self.folders.items():
      save(workdir / name)
