"""Tensors of PyTorch to parameters of Flax by one list of names, and back.

A rule says which tensors a parameter is made of and how. Strict: every tensor
is used by a rule or is on a list of those that are known to be of no use, every
parameter is filled, every shape is as it must be.

PyTorch's weights are [out, in, t, y, x], Flax's kernels [t, y, x, in, out].
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
from flax import traverse_util

from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError

# Names in a message, and letters of each.
_MOST, _LONGEST = 5, 120


@dataclasses.dataclass(frozen=True)
class Rule:
  """Where a parameter comes from.

  Attributes:
    name: of the tensor.
    ours: tensor -> parameter.
    theirs: (parameter) -> tensor, the inverse.
  """

  name: str
  ours: Callable
  theirs: Callable


def same(name):
  """The tensor as it is."""
  return Rule(name, lambda x: x, lambda x: x)


def flat(name, *shape):
  """A vector that PyTorch keeps as [C, 1, ...]; `shape` is the tail of ones."""
  return Rule(
    name,
    lambda x: x.reshape(len(x)) if x.shape == (len(x), *shape) else x,
    lambda x: x.reshape(len(x), *shape),
  )


def kernel(name):
  """[out, in, ...] to [..., in, out]: a layer of any rank."""

  def ours(x):
    # A vector in its place is told by its shape.
    return np.moveaxis(x, (0, 1), (-1, -2)) if x.ndim > 1 else x

  return Rule(name, ours, lambda x: np.moveaxis(x, (-1, -2), (0, 1)))


def by_name(shapes):
  """Rules for modules that are named as the original's.

  down_blocks_0/resnets_1/conv1/kernel comes from
  down_blocks.0.resnets.1.conv1.weight; a `scale` too is called weight there,
  and everything else as here.
  """
  rules = {}
  for path in shapes:
    *modules, leaf = re.sub(r"_(\d+)(?=/)", r".\1", path).split("/")
    name = "weight" if leaf in ("kernel", "scale") else leaf
    make = kernel if leaf == "kernel" else same
    rules[path] = make(".".join([*modules, name]))
  return rules


def fill(source, rules, shapes, unused=()):
  """Parameters {path: float32 array} out of a source's tensors.

  Args:
    source: Source.
    rules: {path of a parameter: Rule}.
    shapes: {path: shape}, of all parameters.
    unused: patterns of the names of tensors that nothing is made of; each must
      match a name in full.

  Raises:
    UserError: a tensor is missing, left over, of another shape or not finite.
  """
  assert rules.keys() == shapes.keys(), rules.keys() ^ shapes.keys()
  names = {rule.name for rule in rules.values()}
  found = set(source.names)
  missing = sorted(names - found)
  extra = sorted(
    name
    for name in found - names
    if not any(re.fullmatch(pattern, name) for pattern in unused)
  )
  if missing or extra:
    raise UserError(f"{source.where}: {_told(missing, extra)}")
  filled = {}
  for path, rule in rules.items():
    array = rule.ours(source.tensor(rule.name))
    if array.shape != tuple(shapes[path]):
      tensor = source.tensor(rule.name)
      raise UserError(
        f"{source.where}: the tensor {rule.name} is {list(tensor.shape)}, "
        f"which gives {list(array.shape)} where {list(shapes[path])} is "
        "needed; it is of another version or size of the model than its config"
      )
    if not np.isfinite(array).all():
      raise UserError(
        f"{source.where}: the tensor {rule.name} holds NaN or infinity; "
        "download it again"
      )
    filled[path] = np.asarray(array, np.float32, order="C")
  return filled


def foreign(arrays, rules):
  """The inverse of `fill`: {tensor: array}."""
  return {
    rule.name: np.asarray(rule.theirs(np.asarray(arrays[path])), order="C")
    for path, rule in rules.items()
  }


def shapes_of(tree):
  """{path: shape} of a tree of arrays or their shapes."""
  leaves = traverse_util.flatten_dict(tree, sep="/")
  return {path: tuple(leaf.shape) for path, leaf in leaves.items()}


def _told(missing, extra):
  told = []
  if missing:
    told.append(f"lacks {_listed(missing)}")
  if extra:
    told.append(f"has {_listed(extra)}, which nothing is made of")
  hint = nearest(missing[0], extra) if missing and extra else ""
  return (
    " and ".join(told)
    + (f" ({hint})" if hint else "")
    + "; it is cut off, or of another version of the model: get the file again "
    "or give --kind"
  )


def _listed(names):
  more = len(names) - _MOST
  listed = ", ".join(name[:_LONGEST] for name in names[:_MOST])
  return f"{listed} and {more} more" if more > 0 else listed
