"""The talker: portrait, past frames and a frame's conditions -> the frame.

A block is [condition tokens of frame i][tokens of frame i-1]: frame tokens are
shifted by one, conditions belong to the frame that is predicted. The block's
own conditions also reach the frame tokens and the head directly, as weights of
learned patterns over the frame; in context alone they take several times the
steps to learn. So do the portrait's own conditions, as far as they are known:
how far a head is to turn depends on where it looks in the portrait.

Dimension key: B batch, T frames, S sink frames, N tokens, J = S * N, c numbers
in a token, M condition tokens, P = M + N, D width, R patterns; leading ... is
[B T] in training, [B] in a stream.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax import heads
from eartalk_jax.attention.visibility import Visibility
from eartalk_jax.layers.basic import lift, norm, sinusoids
from eartalk_jax.layers.placement import ALONE, Placement
from eartalk_jax.layers.products import Dense
from eartalk_jax.models.backbone import Backbone, modulator
from eartalk_jax.models.conditions import Conditions
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.signals import Signals

# How many patterns over the frame the conditions can weigh directly.
PATTERNS = 64


def opening(cfg, sink_BSNc):
  """What comes before the first frame, and what stays: (before_BNc, sink_BSNc).

  A model without a sink has the portrait as its first past, and no other hint.
  """
  portrait_BNc = sink_BSNc[:, 0]
  if cfg.sinkless:
    return portrait_BNc, jnp.zeros_like(sink_BSNc)
  return jnp.zeros_like(portrait_BNc), sink_BSNc


class Talker(nn.Module):
  """All parameters of the model. See the methods for the ways in.

  Attributes:
    cfg: its configuration.
    placement: what a mesh changes; no parameter depends on it.
    view: Visibility; None for EARTalking's, `cfg.window` frames.
  """

  cfg: TalkerConfig
  placement: Placement = ALONE
  view: Visibility | None = None

  def setup(self):
    cfg, dtype = self.cfg, jnp.dtype(self.cfg.dtype)
    small = nn.initializers.normal(0.02)
    frame_shape = (cfg.tokens, cfg.width)
    # As loud as the tokens: what a condition does depends on the place first.
    loud = nn.initializers.normal(0.5)
    self.position_ND = self.param("position", loud, frame_shape)
    self.start_ND = self.param("start", small, frame_shape)
    self.sink_type_D = self.param("sink_type", small, (cfg.width,))
    self.conditions = Conditions(cfg)
    self.frame_in = Dense(cfg.width, dtype=dtype)
    # The portrait's token beside the frame's own: what is learned is a change.
    self.beside = Dense(cfg.width, dtype=dtype)
    self.level_in = Dense(cfg.width, dtype=dtype)
    zeros = nn.initializers.zeros_init()
    self.trust = Dense(cfg.token_width, kernel_init=zeros)
    self.guess = Dense(cfg.token_width, use_bias=False, kernel_init=zeros)
    self.backbone = Backbone(cfg, self.placement, self.view)
    self.last_norm = norm()
    self.direct = Dense(PATTERNS, dtype=dtype)
    self.patterns_RND = self.param(
      "patterns", nn.initializers.normal(), (PATTERNS, *frame_shape)
    )
    self.direct_norm = norm()
    self.head = heads.of(cfg.head).network(
      cfg.head, cfg.tokens, cfg.token_width, dtype, self.placement, cfg.remat
    )

  def embed_sink(self, sink_BSNc):
    """The sink frames' tokens -> (sink_BJD, anchor_BJD for adaptive norms)."""
    x_BSND = self.frame_in(sink_BSNc)
    x_BSND = x_BSND + lift(self.position_ND + self.sink_type_D[None], 4)
    sink_BJD = x_BSND.reshape(x_BSND.shape[0], -1, x_BSND.shape[-1])
    if {"anchor", "sink"} & set(self.cfg.without):
      return sink_BJD, jnp.zeros_like(sink_BJD)
    return sink_BJD, sink_BJD

  def modulator(self, anchor_BJD, beside):
    """What modulates a block: the portrait and what its conditions ask for."""
    anchor_BND = anchor_BJD[:, : self.cfg.tokens]
    return modulator(anchor_BND, beside[0], self.cfg.condition_tokens)

  def embed_portrait(self, signals):
    """The portrait's own conditions -> [B M*D]; the nulls where unknown."""
    condition_BMD = self.conditions(signals)
    return condition_BMD.reshape(condition_BMD.shape[0], -1)

  def embed_block(self, previous, level, started, sink, portrait, signals):
    """Builds a frame's block.

    Args:
      previous: [..., N, c] tokens of the frame before, noised.
      level: [...] the level of that noise.
      started: [...] bool; False where there is no frame before.
      sink: tokens of the portrait, broadcastable to `previous`.
      portrait: what `embed_portrait` gave, broadcastable to [..., M*D].
      signals: Signals [...] of the frame.

    Returns:
      (block [..., P, D], beside: what reaches the head around the backbone, for
      `finish`).
    """
    condition = self.conditions(signals)
    flat = condition.reshape(*condition.shape[:-2], -1)
    flat = jnp.concatenate([flat, jnp.broadcast_to(portrait, flat.shape)], -1)
    patterns_RND = self.patterns_RND.astype(condition.dtype)
    direct = jnp.einsum("...R,RND->...ND", self.direct(flat), patterns_RND)
    direct = self.direct_norm(direct)
    if "direct" in self.cfg.without:
      direct = jnp.zeros_like(direct)
    # Unit variance whatever the noise, so that it cannot drown the rest.
    loudness = jnp.sqrt(1 + jnp.square(level))[..., None, None]
    seen = self.frame_in(previous / loudness)
    seen += self.level_in(sinusoids(level, self.cfg.width))[..., None, :]
    start = lift(self.start_ND, seen.ndim)
    frame = jnp.where(started[..., None, None], seen, start)
    frame += self.beside(sink) + direct + lift(self.position_ND, seen.ndim)
    guess = self._guess(previous, level, started, sink)
    return jnp.concatenate([condition, frame], axis=-2), (direct, guess)

  def _guess(self, previous, level, started, sink):
    """A linear guess of the frame's deviation from that of the last frame.

    A token holds a third as many numbers as the model is wide; carrying the
    last frame through it, beside portrait and noise, would take the width.
    """
    away = jnp.where(started[..., None, None], previous - sink, 0.0)
    trust = self.trust(sinusoids(level, self.cfg.width))[..., None, :]
    loudness = 1 + jnp.square(level)[..., None, None]
    return self.guess((1 + trust) * away / loudness)

  def finish(self, frame, beside):
    """The backbone's [..., N, D] -> (h [..., N, D], guess [..., N, c])."""
    direct, guess = beside
    return self.last_norm(frame) + direct, guess

  def hidden(
    self, previous_BTNc, level_BT, sink_BSNc, portrait, signals, first_B
  ):
    """A whole clip at once, teacher-forced: `finish` for [B T].

    Args:
      previous_BTNc, level_BT: the frames before and the levels of their noise.
      sink_BSNc: tokens of the sink frames.
      portrait, signals: Signals of the portraits [B] and of all frames [B T].
      first_B: number of each clip's first block, for cyclic positions.
    """
    clip_BT = jnp.ones_like(level_BT, bool)
    started_BT = clip_BT if self.cfg.sinkless else clip_BT.at[:, 0].set(False)
    x_BTPD, beside = self.embed_block(
      previous_BTNc,
      level_BT,
      started_BT,
      sink_BSNc[:, :1],
      self.embed_portrait(portrait)[:, None],
      signals,
    )
    sink_BJD, anchor_BJD = self.embed_sink(sink_BSNc)
    modulator_BTPD = self.modulator(anchor_BJD, beside)
    x_BTND = self.backbone(
      x_BTPD, sink_BJD, anchor_BJD, modulator_BTPD, first_B
    )
    return self.finish(x_BTND, beside)

  def __call__(self, previous_BTNc, level_BT, *rest):
    """Touches every parameter once; for initialisation."""
    h_BTND, guess_BTNc = self.hidden(previous_BTNc, level_BT, *rest)
    features = (h_BTND[:, 0], guess_BTNc[:, 0])
    return self.head(previous_BTNc[:, 0], level_BT[:, 0], features)


def init_params(model):
  """Returns key -> parameters. Shapes come from the model's config alone."""
  cfg = model.cfg
  model = Talker(cfg)  # no parameter depends on its placement
  tokens_BTNc = jnp.zeros((1, 1, cfg.tokens, cfg.token_width))
  portrait = Signals.blank(cfg, (1,), hears=False)
  signals = Signals.blank(cfg, (1, 1))

  def init(key):
    level_BT, first_B = jnp.ones((1, 1)), jnp.zeros(1, jnp.int32)
    variables = model.init(
      key, tokens_BTNc, level_BT, tokens_BTNc, portrait, signals, first_B
    )
    return variables["params"]

  return init
