"""Small parts that the backbone and the heads share.

Dimension key: B batch, N tokens, D width, H heads, K head width, F hidden.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from eartalk_jax.layers.products import Dense, DenseGeneral

MLP_RATIO = 4
NORM_EPSILON = 1e-6
# Of the fastest of the sinusoids, in radians per unit.
TOP_RATE = 1000.0


def norm(name=None):
  """LayerNorm without scale or bias: modulation supplies both."""
  return nn.LayerNorm(
    use_bias=False, use_scale=False, epsilon=NORM_EPSILON, name=name
  )


def lift(x, rank):
  """Adds leading axes of length 1 until `x` has `rank` axes."""
  return x.reshape((1,) * (rank - x.ndim) + x.shape)


def modulate(x, shift, scale):
  """Applies adaptive-norm statistics; the three arrays share their shape."""
  return x * (1 + scale) + shift


def sinusoids(x, width):
  """[...] scalars in about [0, 1] -> [..., width] Fourier features."""
  # Constants: the last bit of a rate would be seen a thousandfold, and other
  # frameworks must find the same.
  rates = np.exp(np.linspace(0.0, np.log(TOP_RATE), width // 2))
  rates = jnp.asarray(rates, jnp.float32)
  angle = x.astype(jnp.float32)[..., None] * lift(rates, x.ndim + 1)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class Mlp(nn.Module):
  """Two layers, GELU between: [..., D] -> [..., D]."""

  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    up = Dense(MLP_RATIO * self.width, dtype=self.dtype, name="up")(x)
    return Dense(self.width, dtype=self.dtype, name="down")(nn.gelu(up))


class Modulation(nn.Module):
  """From a condition to `count` arrays of width D, all zero at the start.

  On the way is a bottleneck of `rank` units: a full matrix would cost as much
  as attention for every token, and learned no better.
  """

  width: int
  count: int
  dtype: jnp.dtype
  rank: int

  @nn.compact
  def __call__(self, condition):
    condition = Dense(self.rank, dtype=self.dtype, name="reduce")(condition)
    out = Dense(
      self.count * self.width,
      dtype=self.dtype,
      kernel_init=nn.initializers.zeros_init(),
      name="expand",
    )(nn.silu(condition))
    return jnp.split(out, self.count, axis=-1)


class Heads(nn.Module):
  """Query, key and value projections: [..., D] -> three of [..., H, K].

  Attributes:
    heads, head_width: H and K.
    dtype: of the products.
    turned: whether positions turn the keys. If not, a key's bias adds the same
      to all logits of a query: softmax is blind to it, its gradient is rounding
      and Adam would let it wander. So there is none.
  """

  heads: int
  head_width: int
  dtype: jnp.dtype
  turned: bool

  @nn.compact
  def __call__(self, x):
    def project(name, use_bias=True):
      shape = (self.heads, self.head_width)
      return DenseGeneral(
        shape, use_bias=use_bias, dtype=self.dtype, name=name
      )(x)

    return project("query"), project("key", self.turned), project("value")


class MergeHeads(nn.Module):
  """[..., H, K] -> [..., D]."""

  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    return DenseGeneral(
      self.width, axis=(-2, -1), dtype=self.dtype, name="out"
    )(x)
