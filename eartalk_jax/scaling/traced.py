"""FLOPs of any traced function: its products, counted as often as they run.

The walk goes through loops, rematerialised parts, custom gradients and shard
maps. So it also sees what a training step computes twice.
"""

import math

import jax
from jax.extend import core


def flops(function, *args):
  """FLOPs of the matrix products and convolutions of `function(*args)`.

  Arguments may be abstract. Of branches the most expensive one counts; a loop
  without a fixed number of turns is an error. A kernel counts all the blocks of
  its grid.

  Raises:
    ValueError: a `while` loop has products.
  """
  return _total(jax.make_jaxpr(function)(*args).jaxpr)


def kernel_flops(jaxpr, busy_share):
  """The same of a jaxpr's Pallas kernels alone, which XLA cannot look into.

  `busy_share`: a kernel's grid -> the share of it that is not skipped.
  """
  return _total(jaxpr, busy_share)


def _total(jaxpr, kernels=None):
  return sum(_flops(eqn, kernels) for eqn in jaxpr.eqns)


def _flops(eqn, kernels):
  """`kernels`: busy_share where only kernels count, outside of them."""
  name, params = eqn.primitive.name, eqn.params
  if kernels and name in ("dot_general", "conv_general_dilated"):
    return 0
  if name == "dot_general":
    (summed, _), _ = params["dimension_numbers"]
    left = eqn.invars[0].aval.shape
    inner = math.prod(left[axis] for axis in summed)
    return 2 * eqn.outvars[0].aval.size * inner
  if name == "conv_general_dilated":
    return _convolution(eqn)
  inside = [
    _total(jaxpr, None if name == "pallas_call" else kernels)
    for value in params.values()
    for jaxpr in _jaxprs(value)
  ]
  if name == "scan":
    return params["length"] * sum(inside)
  if name == "cond":
    return max(inside)
  if name == "while" and any(inside):
    raise ValueError("a loop with products must have a fixed number of turns")
  if name == "shard_map":
    return sum(inside) * _devices(params)
  if name == "pallas_call":
    grid = params["grid_mapping"].grid
    share = kernels(grid) if kernels else 1
    return sum(inside) * math.prod(grid) * share
  if name in ("custom_jvp_call", "custom_vjp_call"):
    # Their rules are functions yet; what is called is a jaxpr.
    return inside[0]
  return sum(inside)


def _devices(params):
  """Devices that a shard map splits its work among."""
  axes = params.get("manual_axes") or params["mesh"].axis_names
  return math.prod(params["mesh"].shape[axis] for axis in axes)


def _jaxprs(value):
  if isinstance(value, core.ClosedJaxpr):
    yield value.jaxpr
  elif isinstance(value, core.Jaxpr):
    yield value
  elif isinstance(value, (tuple, list)):
    for item in value:
      yield from _jaxprs(item)


def _convolution(eqn):
  """Taps that hang over the margin count as well."""
  params = eqn.params
  numbers = params["dimension_numbers"]
  kernel = eqn.invars[1].aval.shape
  out_features, in_features, *spatial = (
    kernel[axis] for axis in numbers.rhs_spec
  )
  del out_features
  out = eqn.outvars[0].aval.size // params["batch_group_count"]
  return 2 * out * in_features * math.prod(spatial)
