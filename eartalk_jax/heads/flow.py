"""The `flow` head: all tokens of a frame at once, by flow matching.

Dimension key: leading ... frames (and noise draws), B clips or streams, T
frames, N tokens, c numbers in a token, D backbone width, E head width.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax import denoising
from eartalk_jax.denoising.flow import Flow
from eartalk_jax.heads.common import HeadLayer, check_fields, layer_products
from eartalk_jax.layers.basic import lift, norm, sinusoids
from eartalk_jax.layers.cost import Product
from eartalk_jax.layers.placement import ALONE, Placement, layer_class
from eartalk_jax.layers.products import Dense

SETTINGS = {"steps": (1, 1000), "temperature": (0, 2)}


@dataclasses.dataclass(frozen=True)
class FlowHeadConfig:
  """The `flow` head: a shallow transformer over the tokens of one frame.

  Attributes:
    kind: "flow".
    width, depth, heads: its size.
    rank: bottleneck of its adaptive norms.
    draws: noise draws per frame in training; they share the backbone's work.
    steps: Euler steps while sampling.
    spread: typical deviation of a frame from its portrait, in latent units:
      the head models (frame - portrait) / spread.
    shift: of the flow's times towards noise, see `denoising.flow`.
    temperature: scale of the noise that sampling starts from; 1 draws from the
      learned distribution, less shows its middle: steadier, less varied.
  """

  kind: Literal["flow"]
  width: int
  depth: int
  heads: int
  rank: int
  draws: int
  steps: int
  spread: float
  shift: float
  temperature: float

  def __post_init__(self):
    check_fields(self)


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
      sizes = cfg.width, cfg.heads, cfg.rank
      x = layer(*sizes, dtype, name=f"layers_{index}")(x, condition)
    zeros = nn.initializers.zeros_init()
    out = Dense(
      self.token_width, dtype=dtype, kernel_init=zeros, name="token_out"
    )
    return guess + out(norm()(x)).astype(jnp.float32)


def network(cfg, tokens, token_width, dtype, placement, remat):
  """See `Head`."""
  del tokens  # read off the features
  return FlowHead(cfg, token_width, dtype, placement, remat)


def loss(cfg, net, target_BTNc, features, key, uniform=None):
  """See `Head`."""

  def denoise(noisy_RBTNc, time_RBT):
    if cfg.draws == 1:  # an axis of length 1 is slow on CPUs: see `banded`
      return net(noisy_RBTNc[0], time_RBT[0], features)[None]
    # All draws read the same features.
    shared = jax.tree.map(lambda x: x[None], features)
    return net(noisy_RBTNc, time_RBT, shared)

  return denoising.loss(
    Flow(cfg.shift), denoise, target_BTNc, key, cfg.draws, uniform
  )


def sample(cfg, net, features, key_B, guidance):
  """See `Head`."""

  def denoise(noisy_BNc, time_B):
    noisy, time = guidance.repeat(noisy_BNc), guidance.repeat(time_B)
    return guidance.combine(net(noisy, time, features))

  def noise(step):
    del step  # asked for the start alone
    shape = features[1].shape[1:]
    return jax.vmap(lambda key: jax.random.normal(key, shape))(key_B)

  return denoising.sample(
    Flow(cfg.shift), denoise, cfg.steps, noise, cfg.temperature
  )


def times(cfg, tokens):
  """See `Head`: a frame has one time."""
  del cfg, tokens
  return ()


def check(cfg, tokens):
  """See `Head`."""
  del cfg, tokens


def products(cfg, width, tokens, token_width, training):
  """See `Head`."""
  e, n, c = cfg.width, tokens, token_width
  rows = cfg.draws if training else cfg.steps
  return [
    Product("head", n, e, 0, bias=False),  # place
    Product("head", e, e, rows, of_data=True),  # time
    Product("head", e, e, rows),
    # All draws, or steps, read the same features.
    Product("head", width, e, n),
    Product("head", c, e, n * rows, of_data=True),
    *layer_products(cfg, n, rows),
    Product("head", e, c, n * rows),
  ]


def resized(cfg, width, heads, depth, unit):
  """See `Head`."""
  del unit
  return dataclasses.replace(cfg, width=width, heads=heads, depth=depth)


def hidden_layer(cfg):
  """See `Head`."""
  return f"layers_{cfg.depth - 1}"
