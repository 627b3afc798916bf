"""The transformer layer of both heads.

Dimension key: B frames, N tokens, E head width.
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
  """Attention within a frame; norms and gates follow a condition."""

  cfg: FlowHeadConfig | MaskedHeadConfig
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x_BNE, condition_BNE):
    cfg = self.cfg
    modulation = Modulation(
      cfg.width, 6, self.dtype, cfg.rank, name="modulation"
    )
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation(
      condition_BNE
    )
    y_BNE = modulate(norm()(x_BNE), shift_a, scale_a)
    heads = Heads(
      cfg.heads, cfg.width // cfg.heads, self.dtype, name="attention"
    )
    attended_BNHK = sfa.spatial(*heads(y_BNE))
    merge = MergeHeads(cfg.width, self.dtype, name="merge")
    x_BNE = x_BNE + gate_a * merge(attended_BNHK)
    y_BNE = modulate(norm()(x_BNE), shift_m, scale_m)
    mlp = Mlp(cfg.width, self.dtype, name="mlp")
    return x_BNE + gate_m * mlp(y_BNE)
