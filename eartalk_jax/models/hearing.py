"""The speech around a latent -> its audio tokens.

Convolutions over time first, as in speech recognition: a sound is the same
whenever it comes, so what is learned of it at one place serves at all of them.

Dimension key: leading ... batch (and frames), A steps of the speech encoder,
F its bins, K hidden states that they are made of, W numbers in a state, D
width, M audio tokens, t taps, I inputs of all taps.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.basic import lift
from eartalk_jax.layers.products import Dense, product
from eartalk_jax.models.config import TalkerConfig

CONVOLUTIONS = 2
TAPS = 3
# A little variance, so that what nobody would hear is not made loud.
LEVEL_EPSILON = 1e-2


class Convolution(nn.Module):
  """Over time with stride 2: [..., A, F] -> [..., A / 2, D].

  Flax's own would join the leading axes, and so gather what a mesh has split.
  """

  width: int
  dtype: str

  @nn.compact
  def __call__(self, x):
    kernel_tFD = self.param(
      "kernel",
      nn.initializers.lecun_normal(),
      (TAPS, x.shape[-1], self.width),
    )
    bias_D = self.param("bias", nn.initializers.zeros_init(), (self.width,))
    x, kernel_tFD, bias_D = nn.dtypes.promote_dtype(
      x, kernel_tFD, bias_D, dtype=self.dtype
    )
    # As "SAME" pads it, the end first, and one step more to fill the pairs.
    length, bins = x.shape[-2:]
    pairs = -(-length // 2) + 1
    before = length % 2
    pad = ((0, 0),) * (x.ndim - 2)
    pad += ((before, 2 * pairs - length - before), (0, 0))
    x = jnp.pad(x, pad).reshape(*x.shape[:-2], pairs, 2 * bins)
    # A pair and the first step of the next. A slice with a stride would say
    # the same, and the compiler of TPU v7x aborts on it.
    x = jnp.concatenate([x[..., :-1, :], x[..., 1:, :bins]], -1)
    kernel_ID = kernel_tFD.reshape(-1, self.width)
    out = product(x, kernel_ID, (((x.ndim - 1,), (0,)), ((), ())))
    return out + lift(bias_D, out.ndim)


def _level(x):
  """How loud somebody speaks, or how near, does not move the lips."""
  level = nn.LayerNorm(use_bias=False, use_scale=False, epsilon=LEVEL_EPSILON)
  return level(x)


class Mix(nn.Module):
  """Hidden states of an encoder, mixed: [..., A*F] -> [..., A, W].

  As probing does it (SUPERB, arXiv 2105.01051): weights that sum to one, equal
  to begin with. States differ in scale, so each is normalised first.
  """

  states: int
  bins: int

  @nn.compact
  def __call__(self, audio):
    states_K = self.param(
      "states", nn.initializers.zeros_init(), (self.states,)
    )
    width = self.bins // self.states
    x = audio.reshape(*audio.shape[:-1], -1, self.states, width)
    x = jnp.moveaxis(x, -2, -3)
    levelled = _level(x.reshape(*x.shape[:-2], -1)).reshape(x.shape)
    share_K11 = nn.softmax(states_K)[:, None, None]
    return (levelled * lift(share_K11, x.ndim)).sum(-3)


class Hearing(nn.Module):
  """A few strided convolutions, then two dense layers over all that is left."""

  cfg: TalkerConfig

  @nn.compact
  def __call__(self, audio):
    """[..., A*F], the features of a frame -> [..., M, D]."""
    cfg, lead = self.cfg, audio.shape[:-1]
    if cfg.audio.states > 1:
      heard = Mix(cfg.audio.states, cfg.audio.bins, name="mixing")(audio)
    else:
      heard = _level(audio).reshape(*lead, -1, cfg.audio.bins)
    for index in range(CONVOLUTIONS):
      convolution = Convolution(cfg.width, cfg.dtype, name=f"conv_{index}")
      heard = nn.gelu(convolution(heard))
    mix = Dense(cfg.width, dtype=cfg.dtype, name="mix")
    heard = nn.gelu(mix(heard.reshape(*lead, -1)))
    tokens = cfg.audio.tokens
    out = Dense(tokens * cfg.width, dtype=cfg.dtype, name="tokens")
    return out(heard).reshape(*lead, tokens, cfg.width)
