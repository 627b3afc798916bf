"""The network of the `flow` head: cleans a frame's tokens jointly.

What flows is the deviation of the frame from the portrait, in units of
`spread`: a head that knows nothing yet shows the portrait, and all that it
learns is motion.

Dimension key: B frames, N tokens, c numbers in a token, D backbone width,
E head width.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.models.config import FlowHeadConfig
from eartalk_jax.models.head_layer import HeadLayer
from eartalk_jax.models.layers import norm, sinusoids


class FlowHead(nn.Module):
  """Noisy deviations, flow time and backbone features -> clean ones."""

  cfg: FlowHeadConfig
  token_width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, noisy_BNc, time_B, features):
    """The clean deviations [B N c], float32.

    Args:
      noisy_BNc: deviations of frames at flow time t.
      time_B: t.
      features: (h_BND, guess_BNc) of those frames, from `Talker.finish`.
    """
    h_BND, guess_BNc = features
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
    return guess_BNc + out(norm()(x_BNE)).astype(jnp.float32)
