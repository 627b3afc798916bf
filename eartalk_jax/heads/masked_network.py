"""The network of the `masked` head: context of a token, then its denoiser.

The factorisation of EARTalking (arXiv 2603.20307), NOVA (2412.14169) and MAR
(2406.11838): tokens of a frame that are known already and what the backbone
says of the rest become one vector for each token; a small MLP denoises each
token given its vector alone. What is denoised is the deviation from the
portrait, as in the `flow` head.

NOVA and MAR encode the known tokens apart from the unknown ones, which changes
shapes with every set. Here one stack sees all places, with a learned mask where
nothing is known yet: one shape, one compilation.

Dimension key: leading ... frames (of tokens too, where one is denoised alone,
and noise draws), N tokens, c numbers in a token, D backbone width, E head
width, F denoiser width.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.config import check_range
from eartalk_jax.heads.common import HeadLayer, check_fields
from eartalk_jax.layers.basic import (
  Modulation,
  lift,
  modulate,
  norm,
  sinusoids,
)
from eartalk_jax.layers.placement import ALONE, Placement, layer_class
from eartalk_jax.layers.products import Dense


@dataclasses.dataclass(frozen=True)
class MaskedHeadConfig:
  """The `masked` head: tokens set by set, each by a small denoiser.

  Attributes:
    kind: "masked".
    width, depth, heads: size of the stack over a frame's tokens.
    denoiser_width, denoiser_depth: size of the MLP that denoises one token.
    rank: bottleneck of their adaptive norms.
    process: "flow" (flow matching) or "noise" (noise prediction, the paper's).
    draws: noise draws per token in training; they share all but the denoiser.
    sets: how many sets of tokens make a frame while sampling.
    steps: denoising steps for each set.
    spread: as in the flow head.
    shift: as in the flow head; only flow matching reads it.
    temperature: scale of the noise, as in the flow head; noise prediction
      scales what each step adds (MAR).
  """

  kind: Literal["masked"]
  width: int
  depth: int
  heads: int
  denoiser_width: int
  denoiser_depth: int
  rank: int
  process: Literal["flow", "noise"]
  draws: int
  sets: int
  steps: int
  spread: float
  shift: float
  temperature: float

  def __post_init__(self):
    check_fields(self)
    check_range(self, 1, 10**6, "denoiser_width")
    check_range(self, 1, 10_000, "denoiser_depth")


class DenoiserLayer(nn.Module):
  """A residual layer of the MLP; its norm and gate follow a condition."""

  cfg: MaskedHeadConfig
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, condition):
    width = self.cfg.denoiser_width
    modulation = Modulation(
      width, 3, self.dtype, self.cfg.rank, name="modulation"
    )
    shift, scale, gate = modulation(condition)
    y = modulate(norm()(x), shift, scale)
    y = nn.silu(Dense(width, dtype=self.dtype, name="up")(y))
    return x + gate * Dense(width, dtype=self.dtype, name="down")(y)


class Denoiser(nn.Module):
  """A noisy token, its time and its context -> what the process asks for."""

  cfg: MaskedHeadConfig
  token_width: int
  dtype: jnp.dtype
  placement: Placement
  remat: bool

  @nn.compact
  def __call__(self, noisy, time, context):
    cfg, dtype = self.cfg, self.dtype
    width = cfg.denoiser_width
    time = sinusoids(time, width)
    time = Dense(width, dtype=dtype, name="time_in")(time)
    time = Dense(width, dtype=dtype, name="time_out")(nn.silu(time))
    context = Dense(width, dtype=dtype, name="context_in")(context)
    x = Dense(width, dtype=dtype, name="token_in")(noisy)
    layer = layer_class(DenoiserLayer, self.placement, self.remat)
    for index in range(cfg.denoiser_depth):
      x = layer(cfg, dtype, name=f"layers_{index}")(x, time + context)
    zeros = nn.initializers.zeros_init()
    out = Dense(
      self.token_width, dtype=dtype, kernel_init=zeros, name="token_out"
    )
    return out(norm()(x)).astype(jnp.float32)


class MaskedHead(nn.Module):
  """`context` once for each set of tokens, `denoise` many times."""

  cfg: MaskedHeadConfig
  tokens: int
  token_width: int
  dtype: jnp.dtype
  placement: Placement = ALONE
  remat: bool = False

  def setup(self):
    cfg, dtype = self.cfg, self.dtype
    self.position_1NE = self.param(
      "position", nn.initializers.normal(0.5), (1, self.tokens, cfg.width)
    )
    self.unknown_11E = self.param(
      "unknown", nn.initializers.normal(0.02), (1, 1, cfg.width)
    )
    self.token_in = Dense(cfg.width, dtype=dtype)
    self.h_in = Dense(cfg.width, dtype=dtype)
    layer = layer_class(HeadLayer, self.placement, self.remat)
    sizes = cfg.width, cfg.heads, cfg.rank
    self.layers = [layer(*sizes, dtype) for _ in range(cfg.depth)]
    self.last_norm = norm()
    self.denoiser = Denoiser(
      cfg, self.token_width, dtype, self.placement, self.remat
    )

  def context(self, tokens, known, h):
    """What each token has to go by: [..., N, E].

    Args:
      tokens: deviations from the portrait, [..., N, c]; read where known only.
      known: [..., N] bool.
      h: of the backbone, [..., N, D].
    """
    h = self.h_in(h)
    seen = self.token_in(tokens)
    unknown = lift(self.unknown_11E.astype(seen.dtype), seen.ndim)
    x = jnp.where(known[..., None], seen, unknown)
    x = x + lift(self.position_1NE.astype(x.dtype), x.ndim) + h
    for layer in self.layers:
      x = layer(x, h)
    return self.last_norm(x)

  def denoise(self, noisy, time, context):
    """Tokens at time t, each with its context -> [..., c], float32.

    It is clean tokens under flow matching and noise under noise prediction.
    """
    return self.denoiser(noisy, time, context)

  def __call__(self, noisy, time, features):
    """Touches every parameter once; for initialisation."""
    h, guess = features
    known = jnp.zeros(noisy.shape[:-1], bool)
    context = self.context(noisy, known, h)
    time = jnp.broadcast_to(time[..., None], known.shape)
    return guess + self.denoise(noisy, time, context)
