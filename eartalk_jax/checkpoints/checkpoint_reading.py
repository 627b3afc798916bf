"""Reading checkpoints: verified first, and every failure with a remedy."""

import contextlib
import math

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from eartalk_jax.checkpoints.checkpoint_files import (
  choose_checkpoint,
  committed_steps,
)
from eartalk_jax.checkpoints.manifest import find_damage
from eartalk_jax.config import describe, differences
from eartalk_jax.errors import UserError
from eartalk_jax.trees import path_name, portions

# Without this Orbax would store the dictionary `data` as arrays.
CONTEXT = ocp.Context()
CONTEXT.checkpointables.registry = ocp.handlers.local_registry().add(
  ocp.handlers.JsonHandler, checkpointable_name="data"
)
# Slicing a replicated array compiles a program per shape: not for small ones.
CONTEXT.array.saving.min_slice_bytes_for_replica_parallel = 2**22
# Seconds: a save that failed in one process is waited for by the others.
CONTEXT.async_options.timeout_secs = 600
# Of arrays that are read together, unless one is larger.
_PORTION_BYTES = 2**27


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
  source = choose_checkpoint(workdir)
  check_intact(source, "ema/")
  abstract = jax.tree.map(_on_one_device, _described(source, "ema"))
  if abstract_params is not None:
    _check_same(abstract, abstract_params, source.parent)
  return int(source.name), load_items(source, {"ema": abstract})["ema"]


def read_metadata(source):
  """What a checkpoint holds, without reading arrays.

  Args:
    source: WORKDIR/checkpoints/STEP.

  Returns:
    ({path of an array: (shape, dtype)} of ema, the same of state, data)
  """

  def describe(tree):
    return {
      path_name(path): (leaf.shape, str(np.dtype(leaf.dtype)))
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }

  data = read_data(source)
  ema, state = (describe(_described(source, item)) for item in ("ema", "state"))
  return ema, state, data


def _described(source, item):
  """The tree of an item's shapes; other items, damaged or not, are not read."""
  with _read_errors(source):
    return ocp.metadata(source, checkpointable_name=item).metadata


def read_data(source):
  """The item `data` of a checkpoint, as `checkpoint` describes it.

  Raises:
    UserError: it is none, or that of another step.
  """
  data, step = load_items(source, {"data": None})["data"], int(source.name)
  match data:
    case {"step": int(found), "fingerprint": dict()} if found != step:
      raise UserError(
        f"checkpoint {source} is step {found} under the name of another; give "
        "it its name back"
      )
    case {"fingerprint": dict(), "weights_only": True}:
      return data
    case {
      "fingerprint": {"run": {"batch_size": int()}},
      "processes": int(),
      "mesh": dict(mesh),
      "window": list(window),
    } if _are_counts(mesh) and _is_window(window):
      return data
  raise UserError(
    f"checkpoint {source} is damaged: data/ does not say of which run it is; "
    "restore it from a copy, or delete that folder to go on from the one before"
  )


def _are_counts(mesh):
  return all(isinstance(size, int) and size > 0 for size in mesh.values())


def _is_window(window):
  """Whether these are metrics of steps: the same names in all of them."""
  if not all(isinstance(metrics, dict) for metrics in window):
    return False
  names = {"skipped", "skipped_total"}.union(*window)
  return all(
    metrics.keys() == names
    and all(isinstance(value, (int, float)) for value in metrics.values())
    for metrics in window
  )


def open_arrays(source, item, below=""):
  """The arrays of a checkpoint, to be read a few at a time.

  Args:
    source: WORKDIR/checkpoints/STEP.
    item: "ema" or "state".
    below: only those whose path begins so; it is left off their names.

  Returns:
    ({path: shape}, iterator of (path, numpy array) in the same order)

  Raises:
    UserError: it is damaged.
  """
  check_intact(source, f"{item}/")
  saved = _described(source, item)
  leaves, tree = jax.tree.flatten(saved)
  names = [
    path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(saved)
  ]
  chosen = [i for i, name in enumerate(names) if name.startswith(below)]
  sizes = {
    i: math.prod(leaves[i].shape) * leaves[i].dtype.itemsize for i in chosen
  }

  def read():
    # Some at a time: each read takes a while.
    for some in portions(sizes, _PORTION_BYTES):
      wanted = [ocp.PLACEHOLDER] * len(leaves)
      for index in some:
        # Of this type, so that it comes as numpy and asks for no device.
        wanted[index] = np.empty(leaves[index].shape, leaves[index].dtype)
      found = load_items(source, {item: jax.tree.unflatten(tree, wanted)})
      found = jax.tree.leaves(found)
      for index in some:
        yield names[index].removeprefix(below), found[index]

  shapes = {names[i].removeprefix(below): leaves[i].shape for i in chosen}
  return shapes, read()


def _on_one_device(leaf):
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _check_same(saved, wanted, directory):
  def shapes(tree):
    return {
      path_name(path): str(leaf.shape)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }

  changes = differences(shapes(saved), shapes(wanted))
  if changes:
    raise UserError(
      f"{directory} holds the parameters of another model: "
      f"{describe(changes)}; use the configuration it was trained with"
    )


def anywhere(flag):
  """Whether it is true in any process."""
  if jax.process_count() == 1:
    return flag
  return bool(multihost_utils.process_allgather(np.bool_(flag)).any())


def check_intact(source, below=""):
  """Compares a checkpoint with its manifest, each process a part of it."""
  part = jax.process_index(), jax.process_count()
  damage = find_damage(source, below, *part)
  if not anywhere(bool(damage)):
    return
  others = [s for s in committed_steps(source.parent) if s < int(source.name)]
  whole = next(
    (s for s in others[::-1] if not find_damage(source.parent / str(s))), None
  )
  named = "; ".join(damage[:3]) or "seen by another process"
  more = f" and {len(damage) - 3} more" if len(damage) > 3 else ""
  remedy = (
    f"to go on from step {whole}, the last one that is whole, move it away "
    f"(mv {source} {source}.damaged) and run the same command"
    if whole is not None
    else "no earlier one is whole: restore it from a copy"
  )
  raise UserError(f"checkpoint {source} is damaged: {named}{more}; {remedy}")


def load_items(source, items):
  """Reads items of WORKDIR/checkpoints/STEP: {name: abstract value or None}."""
  with _read_errors(source), CONTEXT:
    return ocp.load_checkpointables(source, items)


@contextlib.contextmanager
def _read_errors(source):
  try:
    yield
  except Exception as error:  # Orbax has no common class for its failures.
    raise UserError(
      f"checkpoint {source} cannot be read ({first_line(error)}); if it is "
      "damaged, delete that folder: the one before it is then used"
    ) from error


def first_line(error):
  """What fits into a message of one line."""
  line = (str(error).splitlines() or [type(error).__name__])[0]
  # What happened comes first, and why comes last.
  return line if len(line) <= 240 else f"{line[:80]} ... {line[-150:]}"
