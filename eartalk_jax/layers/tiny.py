"""Parts of tiny autoencoders: 3 x 3 convolutions and ReLU alone.

After madebyollin/taesd and madebyollin/taehv; modules are named as there.

Dimension key: B pictures, Y X rows and columns, C channels, I inputs.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.convolutions import Conv2d

_BOUND = 3.0


def softly_clipped(latents):
  """Latents within 3 deviations, without an edge."""
  return _BOUND * jnp.tanh(latents / _BOUND)


class TinyBlock(nn.Module):
  """Three convolutions of one input beside another.

  [B Y X I] of the convolutions, [B Y X C] beside them -> [B Y X C].
  """

  @nn.compact
  def __call__(self, x_BYXI, beside_BYXC):
    channels, y = beside_BYXC.shape[-1], x_BYXI
    for index in (0, 2, 4):  # a ReLU is between
      y = Conv2d(channels, name=f"conv_{index}")(nn.relu(y) if index else y)
    return nn.relu(beside_BYXC + y)
