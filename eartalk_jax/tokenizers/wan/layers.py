"""Layers of `wan` that keep the resolution, causal in time.

Every layer with a memory is called as (x, past) -> (x, past after it). Past is
what it saw before x, in the same form from the first call on; None says that x
begins with frame 0 of a clip. So a clip goes through whole, or its first frame
alone and then a few at a time, by the same layers.

Dimension key: B clips, T frames, Y X rows and columns, N places (Y * X), C I O
channels, t y x of a kernel.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.layers.basic import lift
from eartalk_jax.layers.convolutions import Conv2d, Conv3d, conv3d

REACH = 2  # frames before the newest that a kernel of three sees
NONE = (0, 0), (0, 0)  # padding of kernels of one place
_LEAST = 1e-12


class Memory:
  """Hands each layer of a module its part of the past, and gathers the next.

  Attributes:
    after: {name of a layer: what it remembers}.
  """

  def __init__(self, past):
    self._past, self.after = past, {}

  def __call__(self, layer, x):
    """What the layer makes of x."""
    past = None if self._past is None else self._past[layer.name]
    x, self.after[layer.name] = layer(x, past)
    return x


def zeros_before(x_BTYXC, frames):
  """What the past of a clip's first frames is."""
  shape = (len(x_BTYXC), frames, *x_BTYXC.shape[2:])
  return jnp.zeros(shape, x_BTYXC.dtype)


def each_frame(layer, x_BTYXC):
  """A layer of pictures on all frames."""
  batch, frames = x_BTYXC.shape[:2]
  out = layer(x_BTYXC.reshape(-1, *x_BTYXC.shape[2:]))
  return out.reshape(batch, frames, *out.shape[1:])


class Norm(nn.Module):
  """Each place's channels to mean square 1, times a gain: [..., C]."""

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    gamma_C = self.param("gamma", nn.initializers.ones_init(), (channels,))
    y = x.astype(jnp.float32)
    # Of the square, since a root has no gradient at 0.
    square = jnp.maximum(jnp.sum(y * y, -1, keepdims=True), _LEAST**2)
    y = y / jnp.sqrt(square) * channels**0.5
    return y.astype(x.dtype) * lift(gamma_C, x.ndim)


class Causal(nn.Module):
  """Convolution of 3 x 3 x 3: [B T Y X I] -> [B T Y X O].

  Its past is the last two frames that it got. Before a clip there are zeros.
  """

  features: int

  @nn.compact
  def __call__(self, x_BTYXI, past_B2YXI=None):
    shape = (REACH + 1, 3, 3, x_BTYXI.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    zeros = nn.initializers.zeros_init()
    bias_O = self.param("bias", zeros, (self.features,))
    first = past_B2YXI is None
    if first:
      past_B2YXI = zeros_before(x_BTYXI, REACH)
    joined_BTYXI = jnp.concatenate([past_B2YXI, x_BTYXI], axis=1)
    if first and x_BTYXI.shape[1] == 1:  # a third of the work: no zeros
      out = conv3d(x_BTYXI, kernel[REACH:], pad=((1, 1), (1, 1)))
    else:
      out = conv3d(joined_BTYXI, kernel, pad=((1, 1), (1, 1)))
    return out + lift(bias_O, out.ndim), joined_BTYXI[:, -REACH:]


class Residual(nn.Module):
  """Two convolutions beside the input: [B T Y X C] -> [B T Y X features]."""

  features: int

  @nn.compact
  def __call__(self, x_BTYXC, past=None):
    memory = Memory(past)
    y = nn.silu(Norm(name="norm1")(x_BTYXC))
    y = memory(Causal(self.features, name="conv1"), y)
    y = nn.silu(Norm(name="norm2")(y))
    y = memory(Causal(self.features, name="conv2"), y)
    if x_BTYXC.shape[-1] != self.features:
      one = Conv3d(self.features, (1, 1, 1), pad=NONE, name="conv_shortcut")
      x_BTYXC = one(x_BTYXC)
    return x_BTYXC + y, memory.after


class Attention(nn.Module):
  """One head over all places of a picture, beside it: [B Y X C] -> the same."""

  @nn.compact
  def __call__(self, x_BYXC):
    b, y, x, channels = x_BYXC.shape
    normal_BYXC = Norm(name="norm")(x_BYXC)
    qkv = Conv2d(3 * channels, 1, pad=NONE, name="to_qkv")(normal_BYXC)
    q, k, v = jnp.split(qkv.reshape(b, y * x, 1, 3 * channels), 3, axis=-1)
    out_BYXC = jax.nn.dot_product_attention(q, k, v).reshape(x_BYXC.shape)
    return x_BYXC + Conv2d(channels, 1, pad=NONE, name="proj")(out_BYXC)


class Middle(nn.Module):
  """What is between the way down and the way up: [B T Y X C] -> the same."""

  @nn.compact
  def __call__(self, x_BTYXC, past=None):
    memory, channels = Memory(past), x_BTYXC.shape[-1]
    x_BTYXC = memory(Residual(channels, name="resnets_0"), x_BTYXC)
    x_BTYXC = each_frame(Attention(name="attentions_0"), x_BTYXC)
    x_BTYXC = memory(Residual(channels, name="resnets_1"), x_BTYXC)
    return x_BTYXC, memory.after
