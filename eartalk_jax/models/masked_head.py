"""The network of the `masked` head: context of a token, then its denoiser.

The factorisation of EARTalking (arXiv 2603.20307), NOVA (2412.14169) and MAR
(2406.11838): tokens of a frame that are known already and what the backbone
says of the rest become one vector for each token; a small MLP denoises each
token given its vector alone. What is denoised is the deviation from the
portrait, as in the `flow` head.

NOVA and MAR encode the known tokens apart from the unknown ones, which changes
shapes with every set. Here one stack sees all places, with a learned mask where
nothing is known yet: one shape, one compilation.

Dimension key: B frames, N tokens, c numbers in a token, D backbone width,
E head width, F denoiser width, X tokens of whatever frames.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.models.config import MaskedHeadConfig
from eartalk_jax.models.head_layer import HeadLayer
from eartalk_jax.models.layers import Modulation, modulate, norm, sinusoids


class DenoiserLayer(nn.Module):
  """A residual layer of the MLP; its norm and gate follow a condition."""

  cfg: MaskedHeadConfig
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x_XF, condition_XF):
    width = self.cfg.denoiser_width
    modulation = Modulation(
      width, 3, self.dtype, self.cfg.rank, name="modulation"
    )
    shift, scale, gate = modulation(condition_XF)
    y_XF = modulate(norm()(x_XF), shift, scale)
    y_XF = nn.silu(nn.Dense(width, dtype=self.dtype, name="up")(y_XF))
    return x_XF + gate * nn.Dense(width, dtype=self.dtype, name="down")(y_XF)


class Denoiser(nn.Module):
  """A noisy token, its time and its context -> what the process asks for."""

  cfg: MaskedHeadConfig
  token_width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, noisy_Xc, time_X, context_XE):
    cfg, dtype = self.cfg, self.dtype
    width = cfg.denoiser_width
    time_XF = nn.Dense(width, dtype=dtype, name="time_in")(
      sinusoids(time_X, width)
    )
    time_XF = nn.Dense(width, dtype=dtype, name="time_out")(nn.silu(time_XF))
    context_XF = nn.Dense(width, dtype=dtype, name="context_in")(context_XE)
    x_XF = nn.Dense(width, dtype=dtype, name="token_in")(noisy_Xc)
    for index in range(cfg.denoiser_depth):
      layer = DenoiserLayer(cfg, dtype, name=f"layers_{index}")
      x_XF = layer(x_XF, time_XF + context_XF)
    zeros = nn.initializers.zeros_init()
    out = nn.Dense(
      self.token_width, dtype=dtype, kernel_init=zeros, name="token_out"
    )
    return out(norm()(x_XF)).astype(jnp.float32)


class MaskedHead(nn.Module):
  """`context` once for each set of tokens, `denoise` many times."""

  cfg: MaskedHeadConfig
  tokens: int
  token_width: int
  dtype: jnp.dtype

  def setup(self):
    cfg, dtype = self.cfg, self.dtype
    self.position_1NE = self.param(
      "position", nn.initializers.normal(0.5), (1, self.tokens, cfg.width)
    )
    self.unknown_11E = self.param(
      "unknown", nn.initializers.normal(0.02), (1, 1, cfg.width)
    )
    self.token_in = nn.Dense(cfg.width, dtype=dtype)
    self.h_in = nn.Dense(cfg.width, dtype=dtype)
    self.layers = [HeadLayer(cfg, dtype) for _ in range(cfg.depth)]
    self.last_norm = norm()
    self.denoiser = Denoiser(cfg, self.token_width, dtype)

  def context(self, tokens_BNc, known_BN, h_BND):
    """What each token has to go by: [B N E].

    Args:
      tokens_BNc: deviations from the portrait; read where known only.
      known_BN: bool.
      h_BND: of the backbone.
    """
    h_BNE = self.h_in(h_BND)
    seen_BNE = self.token_in(tokens_BNc)
    unknown_11E = self.unknown_11E.astype(seen_BNE.dtype)
    x_BNE = jnp.where(known_BN[..., None], seen_BNE, unknown_11E)
    x_BNE = x_BNE + self.position_1NE.astype(x_BNE.dtype) + h_BNE
    for layer in self.layers:
      x_BNE = layer(x_BNE, h_BNE)
    return self.last_norm(x_BNE)

  def denoise(self, noisy_Xc, time_X, context_XE):
    """Tokens at time t, each with its context -> [X c], float32.

    It is clean tokens under flow matching and noise under noise prediction.
    """
    return self.denoiser(noisy_Xc, time_X, context_XE)

  def __call__(self, noisy_BNc, time_B, features):
    """Touches every parameter once; for initialisation."""
    h_BND, guess_BNc = features
    known_BN = jnp.zeros(noisy_BNc.shape[:2], bool)
    context_BNE = self.context(noisy_BNc, known_BN, h_BND)
    time_BN = jnp.broadcast_to(time_B[:, None], known_BN.shape)
    return guess_BNc + self.denoise(noisy_BNc, time_BN, context_BNE)
