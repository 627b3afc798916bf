"""One mesh and one table: where every array of the training state lives.

data     copies of the model, each with its rows of the batch
fsdp     the batch as well, and the matrices are split
tensor   the matrices' inner width is split: each device computes a part
"""

import dataclasses
import re

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from eartalk_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")
# The first pattern found in the path of an array decides. A specification
# speaks of the LAST dimensions; what comes before (the axis of scanned layers,
# the taps of a convolution) is not split. A mesh axis that does not divide its
# dimension leaves that dimension whole. Moments and averages end in the name of
# their parameter, so the one table covers the state.
RULES = (
  (r"(query|key|value)/kernel$", P("fsdp", "tensor", None)),  # [D, H, K]
  (r"merge/out/kernel$", P("tensor", None, "fsdp")),  # [H, K, D]
  # Back from an inner width: that one comes first.
  (r"(out|down|expand)/kernel$", P("tensor", "fsdp")),
  (r"kernel$", P("fsdp", "tensor")),
  (r"patterns$", P(None, "fsdp", "tensor")),  # [R, N, D]
  (r"(bias|scale|embedding|null|unknown|position|start|type)$", P()),
  (r"(^|/)(step|count|ns_coeffs|losses|log_norms)$", P()),
)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """Devices on each axis of the mesh; data = -1 takes all that remain."""

  data: int = -1
  fsdp: int = 1
  tensor: int = 1


def make_mesh(config=MeshConfig()):
  """The mesh of all devices.

  Raises:
    UserError: the axes do not multiply to the number of devices.
  """
  count = jax.device_count()
  inner = config.fsdp * config.tensor
  data = count // max(inner, 1) if config.data == -1 else config.data
  if min(data, config.fsdp, config.tensor) < 1 or data * inner != count:
    raise UserError(
      f"config: mesh data={config.data} x fsdp={config.fsdp} x "
      f"tensor={config.tensor} does not make the {count} devices here; "
      "set data=-1 and sizes whose product divides that number"
    )
  # Linen needs Auto axes: the default, Explicit, makes its products fail.
  return jax.make_mesh(
    (data, config.fsdp, config.tensor), AXES, axis_types=(AxisType.Auto,) * 3
  )


def tree_shardings(tree, mesh, rules=RULES):
  """The sharding of every array of a tree, by the path of its name.

  Raises:
    UserError: no rule matches.
  """

  def pick(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    for pattern, spec in rules:
      if re.search(pattern, name):
        return NamedSharding(mesh, _fit(spec, leaf.shape, mesh))
    raise UserError(
      f"no sharding rule for the parameter {name} {leaf.shape}; "
      "add a line to RULES"
    )

  return jax.tree.map_with_path(pick, tree)


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


def put_batch(batch):
  """Makes global arrays, on the mesh now set, of this process's rows."""
  mesh = jax.sharding.get_mesh()
  rows_sharding = NamedSharding(mesh, P(("data", "fsdp")))
  return jax.tree.map(
    lambda rows: jax.make_array_from_process_local_data(
      rows_sharding, np.asarray(rows)
    ),
    batch,
  )


def _fit(spec, shape, mesh):
  """The specification for the last dimensions of `shape`."""
  axes = tuple(spec)[max(len(spec) - len(shape), 0) :]
  axes = (None,) * (len(shape) - len(axes)) + axes
  return P(
    *(
      axis if axis and size % mesh.shape[axis] == 0 else None
      for axis, size in zip(axes, shape, strict=True)
    )
  )
