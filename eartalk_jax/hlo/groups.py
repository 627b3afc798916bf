"""Which devices a collective joins, and which mesh axes those lie along."""

import re

import numpy as np

_EXPLICIT = re.compile(r"replica_groups=\{(\{[\d,{} ]*\})\}")
_IOTA = re.compile(
  r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?"
)
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")
_AXIS = re.compile(r"'([^']+)'(?:=(\d+)|:\((\d+)\)(\d+))?")
_PAIRS = re.compile(r"source_target_pairs=\{(\{[\d,{} ]*\})\}")


def groups(attributes, devices):
  """The groups of a collective as lists of device numbers.

  XLA writes them out, counts them off ([8,8]<=[64]T(1,0)) or names axes of a
  mesh of its own. A permutation's groups are its pairs.

  Args:
    attributes: the text after a collective's operands.
    devices: how many there are.
  """
  pairs = _PAIRS.search(attributes)
  if pairs:
    return _lists(pairs.group(1))
  explicit = _EXPLICIT.search(attributes)
  if explicit:
    return _lists(explicit.group(1))
  iota = _IOTA.search(attributes)
  if iota:
    return _counted(*iota.groups())
  mesh = _MESH.search(attributes)
  if mesh:
    return _along(*mesh.groups())
  return [list(range(devices))]


def axes(group, shape):
  """The axes of a mesh along which a group's devices differ.

  Args:
    group: device numbers, counted through the mesh in its own order.
    shape: {axis: size}.
  """
  places = np.array(np.unravel_index(group, tuple(shape.values())))
  moved = (places != places[:, :1]).any(axis=1)
  return tuple(
    axis for axis, differs in zip(shape, moved, strict=True) if differs
  )


def _ints(text):
  return [int(number) for number in text.split(",")]


def _lists(text):
  return [_ints(group) for group in re.findall(r"\{([\d,]+)\}", text)]


def _counted(shape, source, order):
  devices = np.arange(np.prod(_ints(source))).reshape(_ints(source))
  if order:
    devices = devices.transpose(_ints(order))
  return devices.reshape(_ints(shape)).tolist()


def _along(mesh, names):
  """Groups of devices that differ in the named axes, or parts of axes, only."""
  sizes = {name: int(size) for name, size, *_ in _AXIS.findall(mesh)}
  parts = {name: [size] for name, size in sizes.items()}
  chosen = []
  for name, _, before, size in _AXIS.findall(names):
    if size:
      before, size = int(before), int(size)
      parts[name] = [before, size, sizes[name] // (before * size)]
    chosen.append((name, 1 if size else 0))
  axes_of = [
    (name, index)
    for name, sizes in parts.items()
    for index in range(len(sizes))
  ]
  devices = np.arange(np.prod(list(sizes.values())))
  devices = devices.reshape([parts[name][index] for name, index in axes_of])
  inner = [axes_of.index(axis) for axis in chosen]
  outer = [index for index in range(len(axes_of)) if index not in inner]
  size = int(np.prod([devices.shape[index] for index in inner]))
  return devices.transpose(outer + inner).reshape(-1, size).tolist()
