"""Checkpoints of a run: WORKDIR/checkpoints/STEP/{state,ema,data}.

  state   step, parameters and moments
  ema     the averaged parameters alone: all that inference reads
  data    {"step": batches consumed, "fingerprint": what the run was made of}

A checkpoint is there whole or not at all: Orbax writes to a temporary name and
commits by a rename, and a folder that was never committed is ignored and
replaced.
"""

import contextlib
import json
import pathlib

import jax
from orbax.checkpoint import v1 as ocp

from eartalk_jax.config import describe, differences
from eartalk_jax.errors import UserError
from eartalk_jax.files import write_json

# Without this Orbax would store the dictionary `data` as arrays.
_CONTEXT = ocp.Context()
_CONTEXT.checkpointables.registry = ocp.handlers.local_registry().add(
  ocp.handlers.JsonHandler, checkpointable_name="data"
)
# Slicing a replicated array compiles a program per shape: not for small ones.
_CONTEXT.array.saving.min_slice_bytes_for_replica_parallel = 2**22


class Checkpoints:
  """Saves and restores the training state of one work directory."""

  def __init__(self, workdir, keep, fingerprint):
    """Opens WORKDIR/checkpoints, where the last `keep` are kept."""
    self._fingerprint = fingerprint
    self._saving = None
    self.directory = pathlib.Path(workdir).absolute() / "checkpoints"
    self._checkpointer = ocp.training.Checkpointer(
      self.directory,
      context=_CONTEXT,
      preservation_policy=ocp.training.preservation_policies.LatestN(keep),
      cleanup_tmp_directories=True,
    )

  def __enter__(self):
    return self

  def __exit__(self, error_type, *unused):
    try:
      # An error on its way out is the one to report.
      if error_type is None:
        self.settle()
    finally:
      # Closing reports once more what failed before.
      with contextlib.suppress(Exception):
        self._checkpointer.close()

  @property
  def latest(self):
    """The last committed step, or None."""
    latest = self._checkpointer.latest
    return latest.step if latest else None

  def save(self, step, state):
    """Begins a save and returns once the state may change again.

    Raises:
      UserError: this save, or the one before, could not be written.
    """
    self.settle()
    data = {"step": step, "fingerprint": self._fingerprint}
    items = {"state": state.replace(ema=None), "ema": state.ema, "data": data}
    with self._write_errors():
      self._saving = self._checkpointer.save_checkpointables_async(
        step,
        items,
        force=True,  # the caller decides when; no policy may skip a save
      )

  def settle(self):
    """Waits for the save under way, and ends the thread that watches it."""
    saving, self._saving = self._saving, None
    if saving is not None:
      with self._write_errors():
        saving.result()

  @contextlib.contextmanager
  def _write_errors(self):
    try:
      yield
    except Exception as error:  # Orbax has no common class for its failures.
      raise UserError(
        f"cannot write a checkpoint to {self.directory} "
        f"({_first_line(error)}); free some space, then run the same command "
        "to continue from the one before"
      ) from error

  def restore(self, abstract):
    """Reads the last checkpoint as a TrainState.

    Args:
      abstract: a TrainState of `jax.ShapeDtypeStruct` with shardings.

    Raises:
      UserError: another fingerprint, or an unreadable checkpoint.
    """
    step = self.latest
    saved = self._load(step, {"data": None})["data"]["fingerprint"]
    changes = differences(saved, self._fingerprint)
    if changes:
      raise UserError(_foreign(self.directory.parent, changes))
    items = {"state": abstract.replace(ema=None), "ema": abstract.ema}
    items = self._load(step, items)
    return items["state"].replace(ema=items["ema"])

  def _load(self, step, items):
    return _read(self._checkpointer, self.directory, step, items)


def load_ema(workdir, abstract_params=None):
  """Reads the averaged parameters of a run, and nothing else.

  Args:
    workdir: the work directory of a run.
    abstract_params: shapes and dtypes that the parameters must have (such as
      `jax.eval_shape(init_params, key)`); None takes what is there.

  Returns:
    (step, params)

  Raises:
    UserError: there is no checkpoint, it is damaged, or of another model.
  """
  directory = pathlib.Path(workdir).absolute() / "checkpoints"
  missing = f"there is no checkpoint in {directory}; train first"
  if not directory.is_dir():
    raise UserError(missing)
  with ocp.training.Checkpointer(directory, context=_CONTEXT) as checkpointer:
    if checkpointer.latest is None:
      raise UserError(missing)
    step = checkpointer.latest.step
    saved = checkpointer.checkpointables_metadata(step).metadata["ema"]
    abstract = jax.tree.map(_on_one_device, saved)
    if abstract_params is not None:
      _check_same(abstract, abstract_params, directory)
    items = _read(checkpointer, directory, step, {"ema": abstract})
  return step, items["ema"]


def claim_workdir(workdir, config, free=()):
  """Writes WORKDIR/config.json; refuses a directory that holds another run.

  Args:
    workdir: made if need be.
    config: the resolved configuration: dictionaries, lists and scalars.
    free: dotted keys that may change while a run goes on.

  Raises:
    UserError: a checkpoint is there and the configuration differs from its.
  """
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  config = json.loads(json.dumps(config))
  path = workdir / "config.json"
  if path.exists() and _has_checkpoint(workdir):
    changes = differences(json.loads(path.read_text()), config, free)
    if changes:
      raise UserError(_foreign(workdir, changes))
  write_json(path, config)


def _has_checkpoint(workdir):
  names = (workdir / "checkpoints").glob("*/commit_success.txt")
  return any(path.parent.name.isdigit() for path in names)


def _foreign(workdir, changes):
  return (
    f"{workdir} holds a run of another configuration: {describe(changes)}; "
    "set that back or choose another --workdir"
  )


def _on_one_device(leaf):
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _check_same(saved, wanted, directory):
  def shapes(tree):
    return {
      jax.tree_util.keystr(path, simple=True, separator="/"): str(leaf.shape)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }

  changes = differences(shapes(saved), shapes(wanted))
  if changes:
    raise UserError(
      f"{directory} holds the parameters of another model: "
      f"{describe(changes)}; use the configuration it was trained with"
    )


def _read(checkpointer, directory, step, items):
  try:
    return checkpointer.load_checkpointables(step, items)
  except Exception as error:  # Orbax has no common class for its failures.
    raise UserError(
      f"checkpoint {directory / str(step)} cannot be read "
      f"({_first_line(error)}); if it is damaged, delete that folder: the one "
      "before it is then used"
    ) from error


def _first_line(error):
  lines = str(error).splitlines() or [type(error).__name__]
  return lines[0][:200]
