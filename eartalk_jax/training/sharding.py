"""One mesh and one table: where every array of the training state lives.

data     copies of the model, each with its rows of the batch
fsdp     the batch as well, and the matrices are split
context  the frames of a clip are split, see `parallelism`
tensor   the matrices' inner width is split: each device computes a part
"""

import dataclasses
import re

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from eartalk_jax.config import check_range
from eartalk_jax.errors import UserError
from eartalk_jax.trees import path_name

# The last ones have the nearest neighbours: they talk the most.
AXES = ("data", "fsdp", "context", "tensor")
# Axes that share the rows of a batch.
ROWS = ("data", "fsdp")
# The first pattern found in the path of an array decides. A specification
# speaks of the LAST dimensions; what comes before (the axis of scanned layers,
# the taps of a convolution) is not split. Moments and averages end in the name
# of their parameter, so a table of parameters covers the state.
AUTOENCODER_RULES = (
  (r"(query|key|value)/kernel$", P("fsdp", "tensor", None)),  # [D, H, K]
  (r"merge/out/kernel$", P("tensor", None, "fsdp")),  # [H, K, D]
  (r"up/kernel$", P("fsdp", "tensor")),
  (r"down/kernel$", P("tensor", "fsdp")),
  # The rest is whole over tensor, as the tokens between two blocks are.
  (r"kernel$", P("fsdp", None)),
  (r"(bias|scale|position)$", P()),
)
TALKER_RULES = (
  (r"patterns$", P(None, "fsdp", None)),  # [R, N, D]
  # Back from a bottleneck, whose few numbers nothing divides.
  (r"expand/kernel$", P(None, "fsdp")),
  (r"(null|unknown|start|type|states)$", P()),
  *AUTOENCODER_RULES,
)
# Of what is made of convolutions: the inputs' channels are shared out, and
# whatever has one number for a channel is whole.
CONVOLUTION_RULES = (
  (r"kernel$", P("fsdp", None)),  # [..., I, O]
  (r"(bias|gamma|scale[12]?|table|multiplier)$", P()),
)
# Of each kind of tokenizer that is trained.
TOKENIZER_RULES = {
  "patches": AUTOENCODER_RULES,
  "ltx": CONVOLUTION_RULES,
  "wan": CONVOLUTION_RULES,
}
# Of the state, but of no parameter.
_BOOKKEEPING = r"(^|/)(step|count|ns_coeffs|losses|log_norms)$"
# An array of fewer numbers, or of a smaller share of the state, stays whole
# where an axis does not divide it: nobody would miss that memory.
_SMALL, _SMALL_SHARE = 2**16, 1e-3


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """Devices on each axis of the mesh; data = -1 takes all that remain."""

  data: int = -1
  fsdp: int = 1
  tensor: int = 1
  context: int = 1

  def __post_init__(self):
    check_range(self, -1, 10**6, "data")
    check_range(self, 1, 10**6, "fsdp", "tensor", "context")


def make_mesh(config=MeshConfig(), devices=None):
  """The mesh of some devices, by default all.

  Raises:
    UserError: the axes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  inner = config.fsdp * config.context * config.tensor
  data = len(devices) // max(inner, 1) if config.data == -1 else config.data
  sizes = (data, config.fsdp, config.context, config.tensor)
  if min(sizes) < 1 or data * inner != len(devices):
    raise UserError(
      f"config: mesh data={config.data} x fsdp={config.fsdp} x "
      f"context={config.context} x tensor={config.tensor} does not make the "
      f"{len(devices)} devices here; set data=-1 and sizes whose product "
      "divides that number"
    )
  # Linen needs Auto axes: the default, Explicit, makes its products fail.
  axis_types = (AxisType.Auto,) * len(AXES)
  slices = len({getattr(device, "slice_index", 0) for device in devices})
  if devices[0].platform == "tpu" and slices > 1:
    grid = _sliced(sizes, slices, devices)
  else:
    grid = mesh_utils.create_device_mesh(
      sizes, devices, allow_split_physical_axes=True
    )
  return Mesh(grid, AXES, axis_types=axis_types)


def _sliced(sizes, slices, devices):
  """Devices of several TPU slices, such that only the data axis leaves one."""
  data, *rest = sizes
  if data % slices:
    raise UserError(
      f"config: mesh.data={data} is not a multiple of the {slices} slices; "
      "only gradients may cross the network between slices"
    )
  return mesh_utils.create_hybrid_device_mesh(
    (data // slices, *rest),
    (slices, 1, 1, 1),
    devices,
    allow_split_physical_axes=True,
  )


def tree_shardings(tree, mesh, rules):
  """The sharding of every array of a tree, by the path of its name.

  Args:
    tree: arrays or their shapes: parameters, or a state made of them.
    mesh: has the axes that the rules name.
    rules: ((pattern, PartitionSpec), ...), see `TALKER_RULES`.

  Raises:
    UserError: no rule matches an array, a rule matches none, or an axis does
      not divide a dimension of a large array.
  """
  numbers = sum(leaf.size for leaf in jax.tree.leaves(tree))
  small = max(_SMALL, _SMALL_SHARE * numbers)
  unused = [pattern for pattern, _ in rules]

  def pick(path, leaf):
    name = path_name(path)
    if re.search(_BOOKKEEPING, name):
      return NamedSharding(mesh, P())
    pattern, _ = _rule(name, leaf.shape, rules)
    if pattern in unused:
      unused.remove(pattern)
    must = leaf.size >= small
    return NamedSharding(
      mesh, specification(name, leaf.shape, mesh, rules, must)
    )

  shardings = jax.tree.map_with_path(pick, tree)
  if unused:
    raise UserError(
      f"the sharding rule {unused[0]!r} matches no parameter; correct or "
      "delete its line in eartalk_jax/training/sharding.py"
    )
  return shardings


def _rule(name, shape, rules):
  """The first rule for a parameter: (pattern, PartitionSpec)."""
  for pattern, spec in rules:
    if re.search(pattern, name):
      return pattern, spec
  raise UserError(
    f"no sharding rule for the parameter {name} {shape}; "
    "add a line to the rules in eartalk_jax/training/sharding.py"
  )


def specification(name, shape, mesh, rules, must=False):
  """The PartitionSpec of one parameter, or of a slice of scanned ones.

  Raises:
    UserError: no rule matches, or `must` and an axis does not divide.
  """
  _, spec = _rule(name, shape, rules)
  axes = tuple(spec)[max(len(spec) - len(shape), 0) :]
  axes = (None,) * (len(shape) - len(axes)) + axes
  fitted = []
  for axis, size in zip(axes, shape, strict=True):
    divides = axis and size % mesh.shape[axis] == 0
    if axis and must and not divides:
      raise UserError(
        f"config: mesh.{axis}={mesh.shape[axis]} does not divide {size} in "
        f"the parameter {name} {shape}; choose mesh.{axis} or the model's "
        "width and heads so that it does"
      )
    fitted.append(axis if divides else None)
  return P(*fitted)


def replicated(mesh):
  """The whole array on every device."""
  return NamedSharding(mesh, P())


def check_batch(batch_size, mesh, accumulate=1):
  """Raises UserError when a batch cannot be divided among the devices.

  Args:
    accumulate: into how many microbatches it is divided first.
  """
  parts = mesh.shape["data"] * mesh.shape["fsdp"]
  if batch_size % (parts * accumulate):
    times = f" times accumulate={accumulate}" if accumulate > 1 else ""
    raise UserError(
      f"config: batch_size {batch_size} is not a multiple of the {parts} "
      f"devices that share a batch (mesh data x fsdp){times}"
    )


def local_rows(batch_size, mesh):
  """Numbers of the rows of a batch that live on devices of this process.

  Processes that share a clip by context or tensor have the same rows.
  """
  slices = NamedSharding(mesh, P(ROWS)).addressable_devices_indices_map(
    (batch_size,)
  )
  return sorted(
    {row for (rows,) in slices.values() for row in range(batch_size)[rows]}
  )


def batch_shardings(batch, mesh):
  """The sharding of every array of a batch: rows, and frames if it has any.

  Which arrays have frames is said by the shape suffix of their names:
  latents_BThwC is split by rows and frames, sink_BShwC by rows.

  Raises:
    UserError: the context axis does not divide the frames, or there are none.
  """
  context = mesh.shape["context"]
  split = False

  def pick(path, leaf):
    nonlocal split
    name = path_name(path)
    of_frames = name.rpartition("_")[2].startswith("BT")
    if not (of_frames or name.startswith("signals/")):
      return NamedSharding(mesh, P(ROWS))
    split = True
    if leaf.shape[1] % context:
      raise UserError(
        f"config: mesh.context={context} does not divide the {leaf.shape[1]} "
        "frames of a clip; set data.frames to a multiple of it"
      )
    return NamedSharding(mesh, P(ROWS, "context"))

  shardings = jax.tree.map_with_path(pick, batch)
  if context > 1 and not split:
    raise UserError(
      f"config: mesh.context={context} splits the frames of clips, and these "
      "batches have none; set mesh.context=1"
    )
  return shardings


def put_tree(tree, mesh, rules):
  """Arrays that every process has, on a mesh as `tree_shardings` says."""

  def put(leaf, sharding):
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(
      leaf.shape, sharding, lambda index: leaf[index]
    )

  return jax.tree.map(put, tree, tree_shardings(tree, mesh, rules))


def put_batch(batch, batch_size, mesh):
  """Makes global arrays of this process's rows.

  Args:
    batch: a tree of numpy arrays with the rows of `local_rows`, in order.
    batch_size: rows of the whole batch.
    mesh: where to.
  """
  rows = local_rows(batch_size, mesh)
  place = {row: index for index, row in enumerate(rows)}

  def put(array, sharding):
    if len(array) != len(rows):
      raise UserError(
        f"this process has {len(array)} rows of a batch, but its devices hold "
        f"{len(rows)} of {batch_size}; let data and fsdp span the processes"
      )

    def part(index):
      first = range(batch_size)[index[0]]
      local = slice(place[first[0]], place[first[-1]] + 1)
      return array[(local, *index[1:])]

    shape = (batch_size, *array.shape[1:])
    return jax.make_array_from_callback(shape, sharding, part)

  return jax.tree.map(put, batch, batch_shardings(batch, mesh))
