"""The network of the `flow` head: cleans a frame's tokens jointly.

What flows is the deviation of the frame from the portrait, in units of
`spread`: a head that knows nothing yet shows the portrait, and all that it
learns is motion.

Dimension key: leading ... frames (and noise draws), N tokens, c numbers in a
token, D backbone width, E head width.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.models.config import FlowHeadConfig
from eartalk_jax.models.head_layer import HeadLayer
from eartalk_jax.models.layers import lift, norm, sinusoids
from eartalk_jax.models.placement import ALONE, Placement, layer_class
from eartalk_jax.models.products import Dense


class FlowHead(nn.Module):
  """Noisy deviations, flow time and backbone features -> clean ones."""

  cfg: FlowHeadConfig
  token_width: int
  dtype: jnp.dtype
  placement: Placement = ALONE
  remat: bool = False

  @nn.compact
  def __call__(self, noisy, time, features):
    """The clean deviations [..., N, c], float32.

    Args:
      noisy: deviations of frames at flow time t, [..., N, c].
      time: t, [...].
      features: (h [..., N, D], guess [..., N, c]) of those frames, from
        `Talker.finish`.
    """
    h, guess = features
    cfg, dtype = self.cfg, self.dtype
    n = noisy.shape[-2]
    position_1NE = self.param(
      "position", nn.initializers.normal(0.5), (1, n, cfg.width)
    ).astype(dtype)
    time = sinusoids(time, cfg.width)
    time = Dense(cfg.width, dtype=dtype, name="time_in")(time)
    time = Dense(cfg.width, dtype=dtype, name="time_out")(nn.silu(time))
    h = Dense(cfg.width, dtype=dtype, name="h_in")(h)
    condition = h + time[..., None, :]
    x = Dense(cfg.width, dtype=dtype, name="token_in")(noisy)
    x = x + lift(position_1NE, x.ndim) + h
    layer = layer_class(HeadLayer, self.placement, self.remat)
    for index in range(cfg.depth):
      x = layer(cfg, dtype, name=f"layers_{index}")(x, condition)
    zeros = nn.initializers.zeros_init()
    out = Dense(
      self.token_width, dtype=dtype, kernel_init=zeros, name="token_out"
    )
    return guess + out(norm()(x)).astype(jnp.float32)
