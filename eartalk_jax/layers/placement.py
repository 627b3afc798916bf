"""What a mesh changes in the model: how clips are read, where weights are used.

Nothing, by default. `eartalk_jax.training.parallelism` makes what a mesh needs.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax

from eartalk_jax.attention.banded import banded


@dataclasses.dataclass(frozen=True)
class Placement:
  """How the parts of a model work together on many devices.

  Attributes:
    attend: the form of SFA that reads clips, called as `sfa.dense` is.
    gather: parameters of a layer -> the same, whole where they are used; None
      where they are whole anyway.
    gather_rest: all parameters -> the same, but those of layers whole.
    keep: [B, T, ...] -> the same, split as clips are.
  """

  attend: Callable = banded
  gather: Callable | None = None
  gather_rest: Callable = lambda params: params
  keep: Callable[[jax.Array], jax.Array] = lambda x_BT: x_BT


ALONE = Placement()


def layer_class(layer, placement, remat, scanned=False):
  """A layer's class whose parameters are gathered only while it works.

  Args:
    layer: a Linen module's class.
    placement: see Placement.
    remat: its activations are computed again in the backward pass.
    scanned: it is the body of a scan, in which nothing can be shared by
      mistake between forward and backward pass.
  """
  if placement.gather is not None:
    layer = nn.map_variables(layer, "params", trans_in_fn=placement.gather)
  return nn.remat(layer, prevent_cse=not scanned) if remat else layer
