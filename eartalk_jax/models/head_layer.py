"""The transformer layer of both heads.

Dimension key: leading ... frames (and noise draws), N tokens, E head width.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.models import sfa
from eartalk_jax.models.config import FlowHeadConfig, MaskedHeadConfig
from eartalk_jax.models.layers import (
  Heads,
  MergeHeads,
  Mlp,
  Modulation,
  modulate,
  norm,
)


class HeadLayer(nn.Module):
  """Attention within a frame; norms and gates follow a condition.

  Both are [..., N, E]; the condition may lack draws, as an axis of length 1.
  """

  cfg: FlowHeadConfig | MaskedHeadConfig
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, condition):
    cfg = self.cfg
    modulation = Modulation(
      cfg.width, 6, self.dtype, cfg.rank, name="modulation"
    )
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation(condition)
    y = modulate(norm()(x), shift_a, scale_a)
    heads = Heads(
      cfg.heads,
      cfg.width // cfg.heads,
      self.dtype,
      turned=False,
      name="attention",
    )
    merge = MergeHeads(cfg.width, self.dtype, name="merge")
    x = x + gate_a * merge(sfa.spatial(*heads(y)))
    y = modulate(norm()(x), shift_m, scale_m)
    mlp = Mlp(cfg.width, self.dtype, name="mlp")
    return x + gate_m * mlp(y)
