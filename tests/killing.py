"""Runs that are killed, at named points of a save or at any moment.

  python tests/killing.py --kills 20 --seed 1

trains the tiny regression once in peace and once with that many SIGKILLs, at
least one at every point, and compares every bit.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

import conftest  # noqa: F401  (the same devices)
import jax
import numpy as np
from orbax.checkpoint import v1 as ocp
from orbax.checkpoint._src.path.atomicity import AtomicRenameTemporaryPath
from orbax.checkpoint._src.serialization import serialization
from orbax.checkpoint.experimental.v1._src.handlers.pytree_handler import (
  PyTreeHandler,
)
from tiny import Batches, run_config, train

from eartalk_jax import files
from eartalk_jax.checkpoints import checkpoint, checkpoint_files
from eartalk_jax.telemetry.metrics import read_metrics

# Seconds within which a random kill falls, from the start or from the first
# batch: so some come while compiling and some while saving.
_SPAN_S = 1.5


def _die(*unused, **also_unused):
  os.kill(os.getpid(), signal.SIGKILL)


def _half_delete(path, **unused):
  """What a kill leaves of a removal."""
  for file in [path for path in path.rglob("*") if path.is_file()][::2]:
    file.unlink()
  _die()


# name: (owner, function, what to do instead, at which call). An instruction is
# "before", "after" the real thing, or a replacement of it. Orbax's names are
# its own; if they change, a run is not killed and the test says so.
POINTS = {
  "before a save": (ocp, "save_checkpointables_async", "before", 2),
  "folder made": (AtomicRenameTemporaryPath, "create", "after", 2),
  "some arrays written": (
    serialization,
    "async_serialize_from_host",
    "before",
    30,
  ),
  "arrays written, not merged": (PyTreeHandler, "_finalize", "before", 4),
  "before the commit": (AtomicRenameTemporaryPath, "finalize", "before", 2),
  "committed": (AtomicRenameTemporaryPath, "finalize", "after", 2),
  "before the manifest": (checkpoint, "write_manifest", "before", 2),
  "manifest not renamed": (files.os, "replace", "before", 2),
  "old step renamed": (checkpoint_files.shutil, "rmtree", "before", 2),
  "old step half deleted": (
    checkpoint_files.shutil,
    "rmtree",
    _half_delete,
    2,
  ),
}


class Recorded(Batches):
  """Leaves the killer some time, and a line for each batch it gave."""

  def __init__(self, path, pause=0.02):
    super().__init__()
    self._path, self._pause = path, pause

  def iterate(self, step):
    with open(self._path, "ab", buffering=0) as file:
      for batch in super().iterate(step):
        digest = hashlib.sha256(batch["x_BF"].tobytes()).hexdigest()[:16]
        file.write(f"{step} {digest}\n".encode())
        yield batch
        step += 1
        time.sleep(self._pause)


def config(steps):
  return run_config(steps=steps, save_every=4, log_every=1)


def seen(path):
  """{step: the batches that any attempt took for it}."""
  found = {}
  for line in path.read_text().splitlines():
    step, digest = line.split()
    found.setdefault(int(step), set()).add(digest)
  return found


def _arm(point):
  """Makes this process die at a point of a save."""
  owner, name, how, call = POINTS[point]
  real, calls = getattr(owner, name), []

  def wrapped(*args, **kwargs):
    # Whatever else the process renames is not meant.
    if name == "replace" and "manifest" not in str(args[1]):
      return real(*args, **kwargs)
    calls.append(name)
    if len(calls) < call:
      return real(*args, **kwargs)
    if callable(how):
      return how(*args, **kwargs)
    if how == "before":
      return _die()
    return _then_die(real(*args, **kwargs))

  setattr(owner, name, wrapped)


async def _then_die(awaitable):
  await awaitable
  _die()


def _run(workdir, steps, point, begins):
  """In a process of its own: trains until it dies."""
  with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
    if point:
      _arm(point)
    begins.send(True)
    train(workdir, config(steps), batches=Recorded(workdir.parent / "batches"))


def kill_once(workdir, steps, point=None, delay=None, training=False):
  """Starts or continues a run and kills it.

  Args:
    workdir: of the run; the batches are recorded beside it.
    steps: its length.
    point: of POINTS; or
    delay: seconds from its start; if `training`, from its first batch.
    training: see `delay`.
  """
  context = multiprocessing.get_context("forkserver")
  context.set_forkserver_preload(["killing"])
  batches = workdir.parent / "batches"
  before = _size(batches)
  begins, tells = context.Pipe(duplex=False)
  child = context.Process(target=_run, args=(workdir, steps, point, tells))
  child.start()
  try:
    begins.recv()
    while training and child.is_alive() and _size(batches) == before:
      time.sleep(0.01)
    if delay is not None:
      child.join(delay)
      child.kill()
    child.join(120)
    code = child.exitcode
  finally:
    child.kill()
  assert code == -signal.SIGKILL, f"at {point or delay} it ended with {code}"


def _size(path):
  return path.stat().st_size if path.exists() else 0


def compare(workdir, steps, whole):
  """Finishes a killed run and compares it with `whole` = (state, folder)."""
  batches = Recorded(workdir.parent / "batches", 0)
  state = train(workdir, config(steps), batches=batches)
  expected, folder = whole
  pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True)
  for one, other in pairs:
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
  assert seen(workdir.parent / "batches") == seen(folder.parent / "batches")
  curves = [
    [(line["step"], line["loss"]) for line in read_metrics(path)]
    for path in (workdir, folder)
  ]
  assert curves[0] == curves[1]
  left = sorted(path.name for path in (workdir / "checkpoints").iterdir())
  assert left == sorted([str(steps), str(steps - 4)]), left
  assert not checkpoint_files.leftovers(workdir / "checkpoints")


def train_whole(root, steps):
  """The run that nobody disturbs: (state, its folder)."""
  workdir = root / "whole" / "run"
  workdir.mkdir(parents=True)
  batches = Recorded(workdir.parent / "batches", 0)
  return train(workdir, config(steps), batches=batches), workdir


def plan(kills, seed):
  """Every point once and random moments, in random order."""
  rng = random.Random(seed)
  moments = [{"point": point} for point in POINTS]
  while len(moments) < kills:
    delay = round(rng.uniform(0, _SPAN_S), 3)
    moments.append({"delay": delay, "training": len(moments) % 3 > 0})
  rng.shuffle(moments)
  return moments


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--kills", type=int, default=20)
  parser.add_argument("--seed", type=int, default=int(time.time()))
  parser.add_argument("--steps", type=int, default=400)
  arguments = parser.parse_args()
  root = pathlib.Path(tempfile.mkdtemp(prefix="killed-"))
  workdir = root / "killed" / "run"
  workdir.mkdir(parents=True)
  print(f"seed {arguments.seed}, {arguments.steps} steps", flush=True)
  moments = plan(arguments.kills, arguments.seed)
  for number, moment in enumerate(moments, 1):
    kill_once(workdir, arguments.steps, **moment)
    steps = checkpoint_files.committed_steps(workdir / "checkpoints")
    left = checkpoint_files.leftovers(workdir / "checkpoints")
    print(
      f"kill {number}/{len(moments)}: {json.dumps(moment)}; committed {steps}, "
      f"left over {[path.name for path in left]}",
      flush=True,
    )
  compare(workdir, arguments.steps, train_whole(root, arguments.steps))
  print(
    f"{len(moments)} kills: parameters, moments, average, batches and losses "
    "are those of the run that was not killed, bit for bit; nothing is left"
  )
  shutil.rmtree(root)


if __name__ == "__main__":
  import killing  # as the children import it

  sys.exit(killing.main())
