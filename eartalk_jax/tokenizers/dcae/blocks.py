"""Blocks of `dcae`'s network: residual ones and linear attention.

After Chen et al., "Deep Compression Autoencoder for Efficient High-Resolution
Diffusion Models" (arXiv 2410.10733), and the multi-scale linear attention of
Cai et al., "EfficientViT" (arXiv 2205.14756), as AutoencoderDC of diffusers has
them; modules are named as there.

Dimension key: B pictures, Y X rows and columns, N places (Y * X), C channels,
G heads of all scales, K width of a head, J K numbers and a one.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.basic import lift
from eartalk_jax.layers.convolutions import Conv2d
from eartalk_jax.layers.shuffling import space_to_depth

ACTIVATIONS = {"relu": nn.relu, "silu": nn.silu}
NONE = (0, 0), (0, 0)  # padding of kernels of 1 x 1
_EPSILON = 1e-5
_LEAST = 1e-15  # added to the sum of an attention's weights
_EXPANSION = 4


class RmsNorm(nn.Module):
  """Over the channels of each place, with scale and bias."""

  @nn.compact
  def __call__(self, x_BYXC):
    channels = x_BYXC.shape[-1]
    scale_C = self.param("scale", nn.initializers.ones_init(), (channels,))
    bias_C = self.param("bias", nn.initializers.zeros_init(), (channels,))
    square = jnp.mean(jnp.square(x_BYXC), axis=-1, keepdims=True)
    normal = x_BYXC / jnp.sqrt(square + _EPSILON)
    return normal * lift(scale_C, 4) + lift(bias_C, 4)


class BatchNorm(nn.Module):
  """By the running statistics that its file has: a scale and a shift."""

  @nn.compact
  def __call__(self, x_BYXC):
    shape = x_BYXC.shape[-1:]
    ones, zeros = nn.initializers.ones_init(), nn.initializers.zeros_init()
    mean_C = self.param("running_mean", zeros, shape)
    variance_C = self.param("running_var", ones, shape)
    scale_C = self.param("scale", ones, shape)
    bias_C = self.param("bias", zeros, shape)
    scale_C = scale_C / jnp.sqrt(variance_C + _EPSILON)
    return (x_BYXC - lift(mean_C, 4)) * lift(scale_C, 4) + lift(bias_C, 4)


NORMS = {"rms_norm": RmsNorm, "batch_norm": BatchNorm}


class Residual(nn.Module):
  """Two convolutions beside the input: [B Y X C] -> the same.

  Attributes:
    norm, activation: keys of NORMS and ACTIVATIONS.
  """

  norm: str
  activation: str

  @nn.compact
  def __call__(self, x_BYXC):
    channels = x_BYXC.shape[-1]
    y = ACTIVATIONS[self.activation](Conv2d(channels, name="conv1")(x_BYXC))
    y = Conv2d(channels, use_bias=False, name="conv2")(y)
    return x_BYXC + NORMS[self.norm](name="norm")(y)


class EfficientVit(nn.Module):
  """Attention over the picture, then a gated MLP: [B Y X C] -> the same.

  Attributes:
    head: K.
    scales: sizes of the kernels by which places are gathered beforehand.
    norm: of the attention, a key of NORMS.
  """

  head: int
  scales: tuple[int, ...]
  norm: str

  @nn.compact
  def __call__(self, x_BYXC):
    attention = Attention(self.head, self.scales, self.norm, name="attn")
    return GatedMlp(name="conv_out")(attention(x_BYXC))


class Gathered(nn.Module):
  """Queries, keys and values of a place's surroundings."""

  head: int
  size: int

  @nn.compact
  def __call__(self, x_BYXC):
    channels = x_BYXC.shape[-1]
    pad = ((self.size // 2,) * 2,) * 2
    alone = {"groups": channels, "use_bias": False, "name": "proj_in"}
    x_BYXC = Conv2d(channels, self.size, pad=pad, **alone)(x_BYXC)
    by_head = {"groups": channels // self.head, "use_bias": False}
    return Conv2d(channels, 1, pad=NONE, **by_head, name="proj_out")(x_BYXC)


class Attention(nn.Module):
  """Attention whose weights are relu(key) . relu(query), beside the input.

  The values are summed with their keys once for all queries. diffusers has
  another order for few places, which is the same function.
  """

  head: int
  scales: tuple[int, ...]
  norm: str

  @nn.compact
  def __call__(self, x_BYXC):
    b, y, x, channels = x_BYXC.shape
    inner = channels // self.head * self.head
    parts = [
      nn.Dense(inner, use_bias=False, name=name)(x_BYXC)
      for name in ("to_q", "to_k", "to_v")
    ]
    qkv = jnp.concatenate(parts, axis=-1)
    gathered = [
      Gathered(self.head, size, name=f"to_qkv_multiscale_{index}")(qkv)
      for index, size in enumerate(self.scales)
    ]
    # A head's numbers are 3 K neighbours in all of them, whatever they were.
    all_scales = jnp.concatenate([qkv, *gathered], axis=-1)
    heads_BNGK = all_scales.reshape(b, y * x, -1, 3 * self.head)
    attended_BNGK = _attend(*jnp.split(heads_BNGK, 3, axis=-1))
    attended = attended_BNGK.reshape(b, y, x, -1)
    out = nn.Dense(channels, use_bias=False, name="to_out")(attended)
    return x_BYXC + NORMS[self.norm](name="norm_out")(out)


def _attend(query_BNGK, key_BNGK, value_BNGK):
  """[B N G K], three times -> [B N G K]."""
  query_BNGK, key_BNGK = nn.relu(query_BNGK), nn.relu(key_BNGK)
  ones = jnp.ones_like(value_BNGK[..., :1])
  value_BNGJ = jnp.concatenate([value_BNGK, ones], axis=-1)
  sums_BGJK = jnp.einsum("bngj,bngk->bgjk", value_BNGJ, key_BNGK)
  out_BNGJ = jnp.einsum("bgjk,bngk->bngj", sums_BGJK, query_BNGK)
  return out_BNGJ[..., :-1] / (out_BNGJ[..., -1:] + _LEAST)


class GatedMlp(nn.Module):
  """At each place and its neighbours, beside the input."""

  @nn.compact
  def __call__(self, x_BYXC):
    channels = x_BYXC.shape[-1]
    wide = 2 * _EXPANSION * channels
    y = nn.silu(Conv2d(wide, 1, pad=NONE, name="conv_inverted")(x_BYXC))
    y = Conv2d(wide, groups=wide, name="conv_depth")(y)
    y, gate = jnp.split(y, 2, axis=-1)
    out = Conv2d(channels, 1, pad=NONE, use_bias=False, name="conv_point")
    return x_BYXC + RmsNorm(name="norm")(out(y * nn.silu(gate)))


def averaged(x_YXC, channels):
  """Means of as many neighbouring channels as make `channels` of them."""
  return x_YXC.reshape(*x_YXC.shape[:-1], channels, -1).mean(axis=-1)


def repeated(x_YXC, channels):
  """Each channel as often as makes `channels` of them."""
  return jnp.repeat(x_YXC, channels // x_YXC.shape[-1], axis=-1)


def halved(x_YXC, channels):
  """Half the rows and columns, without weights."""
  return averaged(space_to_depth(x_YXC, 2), channels)
