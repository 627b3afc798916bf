"""The `flow` head: samples a frame's tokens jointly, by flow matching.

What flows is the deviation of the frame from the portrait, in units of
`spread`: a head that knows nothing yet shows the portrait, and all that it
learns is motion.

Dimension key: B frames, N tokens, c numbers in a token, D backbone width,
E head width.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.models import sfa
from eartalk_jax.models.config import FlowHeadConfig
from eartalk_jax.models.layers import (
  Heads,
  MergeHeads,
  Mlp,
  Modulation,
  modulate,
  norm,
  sinusoids,
)


class HeadLayer(nn.Module):
  """A transformer layer whose norms and gates follow (time, backbone)."""

  cfg: FlowHeadConfig
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


class FlowHead(nn.Module):
  """Noisy deviations, flow time and backbone features -> clean ones."""

  cfg: FlowHeadConfig
  token_width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, noisy_BNc, time_B, h_BND):
    """Returns [B N c], float32."""
    cfg, dtype = self.cfg, self.dtype
    n = noisy_BNc.shape[1]
    position_1NE = self.param(
      "position", nn.initializers.normal(0.5), (1, n, cfg.width)
    ).astype(dtype)
    time_BE = sinusoids(time_B, cfg.width)
    time_BE = nn.Dense(cfg.width, dtype=dtype, name="time_in")(time_BE)
    time_BE = nn.Dense(cfg.width, dtype=dtype, name="time_out")(
      nn.silu(time_BE)
    )
    h_BNE = nn.Dense(cfg.width, dtype=dtype, name="h_in")(h_BND)
    condition_BNE = h_BNE + time_BE[:, None]
    x_BNE = nn.Dense(cfg.width, dtype=dtype, name="token_in")(noisy_BNc)
    x_BNE = x_BNE + position_1NE + h_BNE
    for index in range(cfg.depth):
      layer = HeadLayer(cfg, dtype, name=f"layers_{index}")
      x_BNE = layer(x_BNE, condition_BNE)
    zeros = nn.initializers.zeros_init()
    out = nn.Dense(
      self.token_width, dtype=dtype, kernel_init=zeros, name="token_out"
    )
    return out(norm()(x_BNE)).astype(jnp.float32)
