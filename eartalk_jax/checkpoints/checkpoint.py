"""Checkpoints of a run: WORKDIR/checkpoints/STEP/{state,ema,data}.

  state          step, parameters and moments
  ema            the averaged parameters alone: all that inference reads
  data           {"step": batches consumed, "fingerprint": what the run was
                 made of, "processes": how many saved it, "mesh": {axis: size},
                 "window": metrics of the steps since the last line of
                 metrics.jsonl}
  manifest.json  size and hash of every file

A checkpoint is there whole or not at all: Orbax writes to a temporary name and
commits by a rename, and what was never committed is ignored and replaced. A
thread then writes the manifest and deletes the steps that are too many.
"""

import concurrent.futures
import functools
import shutil
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  committed_steps,
  refuse_incomplete,
  remove_leftovers,
  remove_old,
)
from eartalk_jax.checkpoints.checkpoint_reading import (
  CONTEXT,
  anywhere,
  check_intact,
  first_line,
  load_items,
  read_data,
)
from eartalk_jax.checkpoints.manifest import find_damage, write_manifest
from eartalk_jax.checkpoints.resumption import check_same_run, parse_start
from eartalk_jax.errors import UserError


class Checkpoints:
  """Saves and restores the training state of one work directory.

  Attributes:
    source: the checkpoint to begin with, WORKDIR/checkpoints/STEP: the last
      one, else what `run.start_from` says, else None.
    window: what `save` was given with it; empty until `restore`.
  """

  def __init__(self, workdir, run, fingerprint):
    """Opens WORKDIR/checkpoints and clears what a killed save left there.

    Args:
      workdir: which this run is `holding`.
      run: `keep`, `keep_every`, `start_from`, `max_failed_saves` and
        `allow_resize`, as in RunConfig.
      fingerprint: what the run is made of, as JSON would give it back.

    Raises:
      UserError: the newest folder is half a copy, or there is nothing to start
        from.
    """
    self._run, self._fingerprint = run, fingerprint
    self._failed, self._saving, self.window = 0, None, []
    self._worker = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
    self.directory = checkpoints_of(workdir)
    refuse_incomplete(self.directory)
    self.source = _agreed_latest(self.directory)
    if self.source is None and run.start_from:
      self.source = parse_start(run.start_from)
    if jax.process_index() == 0:
      remove_leftovers(self.directory)

  def __enter__(self):
    return self

  def __exit__(self, error_type, *unused):
    try:
      # An error on its way out is the one to report; other processes may not
      # have one.
      if error_type is None:
        self.settle()
        if self._failed:
          raise self._cannot_write()
    finally:
      self._worker.shutdown()

  def check_space(self, abstract):
    """Raises UserError if the disk is too full for a first checkpoint.

    Args:
      abstract: the TrainState as `jax.ShapeDtypeStruct`.
    """
    leaves = jax.tree.leaves(abstract)
    need = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    usage = shutil.disk_usage(self.directory)
    if usage.total and usage.free < need:
      raise UserError(
        f"{self.directory} has {_gb(usage.free)} free and a checkpoint needs "
        f"{_gb(need)}; free some space or choose another --workdir"
      )

  def save(self, step, state, window=()):
    """Begins a save and returns once the state may change again.

    A save that fails is told and forgiven, as long as a later one succeeds.

    Args:
      step: number of steps done.
      state: TrainState.
      window: metrics of the last steps, {name: number} of each.

    Raises:
      UserError: `max_failed_saves` in a row failed.
    """
    self.settle()
    data = {
      "step": step,
      "fingerprint": self._fingerprint,
      "processes": jax.process_count(),
      "mesh": dict(jax.sharding.get_mesh().shape),
      "window": list(window),
    }
    items = {"state": state.replace(ema=None), "ema": state.ema, "data": data}
    try:
      with CONTEXT:
        saving = ocp.save_checkpointables_async(
          self.directory / str(step), items
        )
    except Exception as error:  # Orbax has no common class for its failures.
      self._saving = concurrent.futures.Future()
      self._saving.set_exception(error)
    else:
      self._saving = self._worker.submit(self._finish, step, saving)
    self._saving.add_done_callback(self._warn)

  def _finish(self, step, saving):
    """Waits for the commit; seals the checkpoint; deletes what is too old."""
    saving.result()
    if jax.process_index() == 0:
      write_manifest(self.directory / str(step))
      remove_old(self.directory, self._run.keep, self._run.keep_every)

  def _warn(self, saving):
    if saving.exception():
      print(
        f"warning: a checkpoint could not be written to {self.directory} "
        f"({first_line(saving.exception())}); training goes on, and the next "
        "save is tried as usual",
        file=sys.stderr,
        flush=True,
      )

  def settle(self):
    """Waits for the save under way and counts failures, on all processes."""
    saving, self._saving = self._saving, None
    if saving is None:
      return
    self._cause = saving.exception()
    failed = anywhere(self._cause is not None)
    # Threads of a failed save may write for a while after its error: what they
    # left is deleted once more after the next good one.
    if (failed or self._failed) and jax.process_index() == 0:
      remove_leftovers(self.directory)
    if not failed:
      self._failed = 0
      return
    self._failed += 1
    if self._failed >= self._run.max_failed_saves:
      raise self._cannot_write()

  def _cannot_write(self):
    cause = self._cause and first_line(self._cause)
    steps = committed_steps(self.directory)
    last = f"step {steps[-1]}, the last one saved" if steps else "the beginning"
    return UserError(
      f"cannot write a checkpoint to {self.directory} "
      f"({cause or 'another process could not'}; {self._failed} in a row "
      f"failed); free some space, then run the same command to continue from "
      f"{last}"
    )

  @functools.cached_property
  def _data(self):
    """The item `data` of `source`."""
    return read_data(self.source)

  @functools.cached_property
  def weights_only(self):
    """Whether `source` is no state of a run, but weights to begin with."""
    if find_damage(self.source, "data/"):
      return False  # `restore` says what is wrong
    return self._data.get("weights_only", False)

  def restore_weights(self, abstract):
    """Reads the weights of such a `source`; they need no history.

    Args:
      abstract: parameters of `jax.ShapeDtypeStruct` with shardings.

    Raises:
      UserError: another model or tokenizer, damage, or it is this very folder.
    """
    workdir, step = self.source.parents[1], int(self.source.name)
    if self.source.parent == self.directory:
      raise UserError(
        f"{workdir} holds weights without the history of a run; train in a "
        f"--workdir of its own with config.run.start_from={workdir}@{step}"
      )
    check_intact(self.source)
    saved = self._data["fingerprint"]
    current = {name: self._fingerprint.get(name) for name in saved}
    check_same_run(saved, current, step, workdir)
    return load_items(self.source, {"ema": abstract})["ema"]

  def restore(self, abstract):
    """Reads `source` as a TrainState.

    Args:
      abstract: a TrainState of `jax.ShapeDtypeStruct` with shardings.

    Raises:
      UserError: another fingerprint, another number of processes without
        consent, or a damaged checkpoint.
    """
    check_intact(self.source)
    data = self._data
    workdir, step = self.source.parents[1], int(self.source.name)
    check_same_run(data["fingerprint"], self._fingerprint, step, workdir)
    self._check_size(data)
    items = {"state": abstract.replace(ema=None), "ema": abstract.ema}
    items = load_items(self.source, items)
    self.window = data["window"]
    return items["state"].replace(ema=items["ema"])

  def _check_size(self, data):
    saved, now = data["processes"], jax.process_count()
    if saved != now and not self._run.allow_resize:
      raise UserError(
        f"{self.source} was saved with processes={saved} and this run has "
        f"{now}; the same batches will follow and only rounding differs: if "
        "that is what you want, set config.run.allow_resize=True"
      )
    mesh = dict(jax.sharding.get_mesh().shape)
    if jax.process_index() == 0 and (saved, data["mesh"]) != (now, mesh):
      print(
        f"step {data['step']} was saved with processes={saved} on the mesh "
        f"{_mesh(data['mesh'])}; going on with {now} on {_mesh(mesh)}",
        flush=True,
      )


def _agreed_latest(directory):
  """The last committed checkpoint as process 0 sees it, or None."""
  steps = committed_steps(directory)
  latest = steps[-1] if steps else -1
  if jax.process_count() > 1:
    latest = int(multihost_utils.broadcast_one_to_all(np.int32(latest)))
  return directory / str(latest) if latest >= 0 else None


def _gb(size):
  return f"{size / 2**30:.3g} GiB"


def _mesh(axes):
  return " x ".join(f"{name} {size}" for name, size in axes.items())
