"""What both heads have in common: a transformer over the tokens of one frame.

Dimension key: leading ... frames (and noise draws), N tokens, E head width.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.attention import sfa
from eartalk_jax.config import check_range
from eartalk_jax.layers.basic import (
  Heads,
  MergeHeads,
  Mlp,
  Modulation,
  modulate,
  norm,
)
from eartalk_jax.layers.cost import Product


class HeadLayer(nn.Module):
  """Attention within a frame; norms and gates follow a condition.

  Both are [..., N, E]; the condition may lack draws, as an axis of length 1.

  Attributes:
    width, heads, rank: of the head's config.
    dtype: of the products.
  """

  width: int
  heads: int
  rank: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, condition):
    width, dtype = self.width, self.dtype
    modulation = Modulation(width, 6, dtype, self.rank, name="modulation")
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation(condition)
    y = modulate(norm()(x), shift_a, scale_a)
    heads = Heads(
      self.heads, width // self.heads, dtype, turned=False, name="attention"
    )
    merge = MergeHeads(width, dtype, name="merge")
    x = x + gate_a * merge(sfa.spatial(*heads(y)))
    y = modulate(norm()(x), shift_m, scale_m)
    mlp = Mlp(width, dtype, name="mlp")
    return x + gate_m * mlp(y)


def layer_products(cfg, tokens, rows):
  """The products of all layers over the tokens of a frame, `rows` times."""
  e, r, depth, n = cfg.width, cfg.rank, cfg.depth, tokens * rows
  return [
    Product("head", e, r, n, depth),
    Product("head", r, 6 * e, n, depth),
    Product("head", e, 2 * e, n, depth),  # query, value
    Product("head", e, e, n, depth, bias=False),  # key
    Product("head", e, e, n, depth),
    Product("head", e, 2 * tokens, n, depth, weights=False),
    Product("head", e, 4 * e, n, depth),
    Product("head", 4 * e, e, n, depth),
  ]


def check_fields(cfg):
  """What must be true of any head's fields.

  Raises:
    ValueError: it is not.
  """
  check_range(cfg, 1, 10**6, "width", "heads", "rank")
  check_range(cfg, 1, 10_000, "depth", "draws", "steps")
  check_range(cfg, 1e-6, 1e6, "spread", "shift")
  check_range(cfg, 0, 10, "temperature")
