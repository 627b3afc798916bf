"""How a talker works on a mesh: clips split over time, weights over fsdp.

A device may have some of the frames of each clip. A frame sees the sink and the
frames near it that a Visibility allows, so all that a device needs of the
others are the keys and values of that many frames before and after its own: a
halo from each neighbour, however long the clip is. Everything else in the model
works on frames apart.

Weights that are split over the fsdp axis are gathered for one layer at a time,
in the precision of its products, and their gradients are scattered again. Left
to itself the compiler would rather move activations.

Dimension key: B batch, T blocks, P tokens in a block, N frame tokens, J sink
tokens, H heads, K head width.
"""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from eartalk_jax.attention.banded import banded
from eartalk_jax.attention.sfa import Halo
from eartalk_jax.attention.splash import splash
from eartalk_jax.errors import UserError
from eartalk_jax.layers.placement import Placement
from eartalk_jax.training.sharding import ROWS, TALKER_RULES, specification
from eartalk_jax.trees import path_name

_CLIP = P(ROWS, "context", None, "tensor", None)  # [B, T, P, H, K]
_SINK = P(ROWS, None, "tensor", None)  # [B, J, H, K]
# Layers gather for themselves, see `layers.placement.layer_class`.
_OF_LAYERS = re.compile(r"(^|/)(layers(_\d+)?|last)/")


def placement_on(mesh, dtype):
  """The Placement of a talker on a mesh.

  Args:
    mesh: with the axes of `sharding.AXES`.
    dtype: of the model's products.
  """
  placement = Placement(_attention_over(mesh))
  if mesh.size > 1:
    clips = NamedSharding(mesh, P(ROWS, "context"))
    placement = dataclasses.replace(
      placement,
      keep=lambda x: jax.lax.with_sharding_constraint(x, clips),
    )
  if mesh.shape["fsdp"] > 1:
    placement = dataclasses.replace(
      placement,
      gather=functools.partial(_gathered, mesh, jnp.dtype(dtype)),
      gather_rest=functools.partial(_rest_gathered, mesh),
    )
  return placement


def _gathered(mesh, dtype, params):
  """A layer's parameters whole over fsdp, matrices in the products' dtype."""

  def gather(path, leaf):
    name = path_name(path)
    used = dtype if name.endswith("kernel") else leaf.dtype
    return _gather(mesh, name, used, leaf)

  return jax.tree.map_with_path(gather, params)


def _rest_gathered(mesh, params):
  """All parameters, but those of layers whole over fsdp."""

  def gather(path, leaf):
    name = path_name(path)
    of_layer = _OF_LAYERS.search(name)
    return leaf if of_layer else _gather(mesh, name, leaf.dtype, leaf)

  return jax.tree.map_with_path(gather, params)


def _gather(mesh, name, dtype, leaf):
  spec = specification(name, leaf.shape, mesh, TALKER_RULES)
  whole = P(*(None if axis == "fsdp" else axis for axis in spec))
  if whole == spec:
    return leaf
  put = jax.lax.with_sharding_constraint
  split, gathered = NamedSharding(mesh, spec), NamedSharding(mesh, whole)

  @jax.custom_vjp
  def gather(leaf):
    return put(put(leaf.astype(dtype), split), gathered)

  def scatter(_, gradient):
    return (put(gradient, split).astype(leaf.dtype),)

  gather.defvjp(lambda leaf: (gather(leaf), None), scatter)
  return gather(leaf)


def _attention_over(mesh):
  """The form of SFA for clips on a mesh, called as `sfa.dense` is.

  TPUs take the Pallas kernel, other devices what XLA makes of `banded`.
  """
  parts = mesh.shape["context"]
  on_tpu = mesh.devices.flat[0].platform == "tpu"
  form = splash if on_tpu else banded
  if parts == 1 and not on_tpu:
    return banded

  def attend(q, k, v, sink_k, sink_v, band, first_B):
    def part(q, k, v, sink_k, sink_v, first_B):
      index = jax.lax.axis_index("context")
      before = after = None
      frames = [x[:, :, band.conditions :] for x in (k, v)]
      if parts > 1 and band.view.before:
        halos = (_from_before(x, band.view.before, parts) for x in frames)
        before = Halo(*halos, exists=index > 0)
      if parts > 1 and band.view.after:
        halos = (_from_after(x, band.view.after, parts) for x in frames)
        after = Halo(*halos, exists=index < parts - 1)
      first_B = first_B + index * q.shape[1]
      return form(q, k, v, sink_k, sink_v, band, first_B, before, after)

    specs = (_CLIP, _CLIP, _CLIP, _SINK, _SINK, P(ROWS))
    mapped = jax.shard_map(
      part,
      mesh=mesh,
      in_specs=specs,
      out_specs=_CLIP,
      check_vma=not on_tpu,  # a kernel does not say what its results vary over
    )
    return mapped(q, k, v, sink_k, sink_v, first_B)

  return attend


def _from_before(x_BTNHK, frames, parts):
  """The last frames of the part before; zeros for the first part."""
  onward = [(part, part + 1) for part in range(parts - 1)]
  return jax.lax.ppermute(x_BTNHK[:, -frames:], "context", onward)


def _from_after(x_BTNHK, frames, parts):
  """The first frames of the part after; zeros for the last part."""
  back = [(part + 1, part) for part in range(parts - 1)]
  return jax.lax.ppermute(x_BTNHK[:, :frames], "context", back)


def check_mesh(model, view, frames, mesh):
  """Raises UserError when a talker's clips cannot be split as a mesh says.

  Args:
    model: TalkerConfig.
    view: Visibility of its recipe.
    frames: T of the training windows.
    mesh: with the axes of `sharding.AXES`.
  """
  parts, heads = mesh.shape["context"], mesh.shape["tensor"]
  least, each = max(view.before, view.after), parts * view.period
  if parts > 1 and (frames % each or frames // parts < least):
    raise UserError(
      f"config: mesh.context={parts} cannot split data.frames={frames}: each "
      f"part needs the same number of frames, at least the {least} that a "
      f"frame sees of its neighbour's; set data.frames to a multiple of {each} "
      f"from {-(-least // view.period) * each} on"
    )
  for name, size in (("model", model.heads), ("model.head", model.head.heads)):
    if size % heads:
      raise UserError(
        f"config: mesh.tensor={heads} does not divide {name}.heads={size}"
      )
