"""The talker: portrait, past frames and a frame's conditions -> the frame.

A block is [condition tokens of frame i][tokens of frame i-1]: frame tokens are
shifted by one, conditions belong to the frame that is predicted. The block's
own conditions also reach the head directly; learned in context alone they take
several times the steps.

Dimension key: B batch, T frames, N tokens, c numbers in a token, M condition
tokens, P = M + N, D width; leading ... is [B T] in training, [B] in a stream.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.models.backbone import Backbone
from eartalk_jax.models.conditions import Conditions
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.flow_head import FlowHead
from eartalk_jax.models.layers import norm, sinusoids


def _lift(x, rank):
  """Adds leading axes of length 1 until `x` has `rank` axes."""
  return x.reshape((1,) * (rank - x.ndim) + x.shape)


class Talker(nn.Module):
  """All parameters of the model. See the methods for the ways in."""

  cfg: TalkerConfig

  def setup(self):
    cfg, dtype = self.cfg, jnp.dtype(self.cfg.dtype)
    small = nn.initializers.normal(0.02)
    frame_shape = (cfg.tokens, cfg.width)
    self.position_ND = self.param("position", small, frame_shape)
    self.start_ND = self.param("start", small, frame_shape)
    self.sink_type_D = self.param("sink_type", small, (cfg.width,))
    self.conditions = Conditions(cfg)
    self.frame_in = nn.Dense(cfg.width, dtype=dtype)
    self.level_in = nn.Dense(cfg.width, dtype=dtype)
    self.backbone = Backbone(cfg)
    self.last_norm = norm()
    self.direct = nn.Dense(cfg.width, dtype=dtype)
    self.head = FlowHead(cfg.head, cfg.token_width, dtype)

  def embed_sink(self, sink_BNc):
    """The portrait's tokens [B N c] -> [B N D]."""
    x_BND = self.frame_in(sink_BNc)
    return x_BND + _lift(self.position_ND + self.sink_type_D[None], 3)

  def embed_block(self, previous, level, started, signals):
    """Builds a frame's block.

    Args:
      previous: [..., N, c] tokens of the frame before, noised.
      level: [...] the level of that noise.
      started: [...] bool; False where there is no frame before.
      signals: {"audio", "audio_given", "controls"} as Conditions takes them.

    Returns:
      (block [..., P, D], direct [..., D] for `finish`).
    """
    condition = self.conditions(**signals)
    seen = self.frame_in(previous)
    seen += self.level_in(sinusoids(level, self.cfg.width))[..., None, :]
    start = _lift(self.start_ND, seen.ndim)
    frame = jnp.where(started[..., None, None], seen, start)
    frame += _lift(self.position_ND, seen.ndim)
    flat = condition.reshape(*condition.shape[:-2], -1)
    return jnp.concatenate([condition, frame], axis=-2), self.direct(flat)

  def finish(self, block, direct):
    """The backbone's last [..., P, D] -> what the head reads, [..., N, D]."""
    frame = self.last_norm(block)[..., self.cfg.condition_tokens :, :]
    return frame + direct[..., None, :]

  def hidden(self, previous_BTNc, level_BT, sink_BNc, signals):
    """A whole clip at once, teacher-forced: [B T N D] for the head."""
    started_BT = jnp.broadcast_to(
      jnp.arange(level_BT.shape[1])[None] > 0, level_BT.shape
    )
    x_BTPD, direct_BTD = self.embed_block(
      previous_BTNc, level_BT, started_BT, signals
    )
    x_BTPD = self.backbone(x_BTPD, self.embed_sink(sink_BNc))
    return self.finish(x_BTPD, direct_BTD)

  def denoise(self, noisy_BNc, time_B, h_BND):
    """The head: noisy tokens of frames at flow time t -> clean tokens."""
    return self.head(noisy_BNc, time_B, h_BND)

  def __call__(self, previous_BTNc, level_BT, sink_BNc, signals):
    """Touches every parameter once; for initialisation."""
    h_BTND = self.hidden(previous_BTNc, level_BT, sink_BNc, signals)
    return self.denoise(previous_BTNc[:, 0], level_BT[:, 0], h_BTND[:, 0])
