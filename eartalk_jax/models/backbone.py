"""The frame-causal transformer: SFA layers over blocks, modulated by the sink.

The sink frame runs through the same layers, attending to itself, so that each
layer has its keys and values; its embedding also gives every layer an adaptive
norm, token by token (the paper's anchor; NOVA's scale-and-shift layer),
together with what the conditions ask for there. Gates are zero at the start, as
in DiT: the stack begins as a copy of what it reads.

Nobody reads the conditions and the sink after the last layer, so that one makes
nothing but the frame. Shallow models notice.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.models import sfa
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.layers import (
  Heads,
  MergeHeads,
  Mlp,
  Modulation,
  modulate,
  norm,
)


def modulator(anchor_BND, direct, condition_tokens):
  """What modulates a block's tokens, [..., P, D].

  Frame tokens take the portrait's token at their place and what the conditions
  ask for there; condition tokens take the portrait's mean.

  Args:
    anchor_BND: the portrait's embedding.
    direct: [..., N, D], B first.
    condition_tokens: M.
  """
  extra = direct.ndim - anchor_BND.ndim
  anchor = anchor_BND.reshape(
    anchor_BND.shape[:1] + (1,) * extra + anchor_BND.shape[1:]
  )
  mean = anchor.mean(axis=-2, keepdims=True)
  shape = (*direct.shape[:-2], condition_tokens, direct.shape[-1])
  return jnp.concatenate([jnp.broadcast_to(mean, shape), anchor + direct], -2)


class Layer(nn.Module):
  """One SFA layer, with three entries: the sink, a clip, one streamed block.

  Attributes:
    cfg: of the talker.
    last: whether it is the last one, which returns N tokens of a block's P, and
      None for the sink's next state.
  """

  cfg: TalkerConfig
  last: bool = False

  def setup(self):
    cfg, dtype = self.cfg, jnp.dtype(self.cfg.dtype)
    self.modulation = Modulation(cfg.width, 6, dtype, rank=cfg.sink_rank)
    self.attention_norm = norm()
    self.attention = Heads(cfg.heads, cfg.width // cfg.heads, dtype)
    self.merge = MergeHeads(cfg.width, dtype)
    self.mlp_norm = norm()
    self.mlp = Mlp(cfg.width, dtype)

  def _attention_inputs(self, x, modulation):
    shift, scale = modulation[:2]
    return self.attention(modulate(self.attention_norm(x), shift, scale))

  def _rest(self, x, attended, modulation):
    if self.last:
      conditions = self.cfg.condition_tokens
      x, *modulation = (t[..., conditions:, :] for t in (x, *modulation))
      attended = attended[..., conditions:, :, :]
    gate_attention, shift, scale, gate_mlp = modulation[2:]
    x = x + gate_attention * self.merge(attended)
    return x + gate_mlp * self.mlp(modulate(self.mlp_norm(x), shift, scale))

  def sink(self, sink_BND, anchor_BND):
    """Returns the sink's next state and its keys and values."""
    modulation = self.modulation(anchor_BND)
    q_BNHK, k_BNHK, v_BNHK = self._attention_inputs(sink_BND, modulation)
    if self.last:
      return None, k_BNHK, v_BNHK
    attended_BNHK = sfa.spatial(q_BNHK, k_BNHK, v_BNHK)
    return self._rest(sink_BND, attended_BNHK, modulation), k_BNHK, v_BNHK

  def __call__(self, streams, anchor_BND, modulator_BTPD):
    """Training: (x_BTPD, sink_BND) -> the next layer's pair."""
    x_BTPD, sink_BND = streams
    sink_BND, sink_k_BNHK, sink_v_BNHK = self.sink(sink_BND, anchor_BND)
    modulation = self.modulation(modulator_BTPD)
    q, k, v = self._attention_inputs(x_BTPD, modulation)
    attended_BTPHK = sfa.banded(
      q, k, v, sink_k_BNHK, sink_v_BNHK, self.cfg.window
    )
    return (
      self._rest(x_BTPD, attended_BTPHK, modulation),
      sink_BND,
    ), None

  def step(self, x_BPD, modulator_BPD, cache, count_B):
    """Streaming: one block and the layer's cache -> the same, moved on."""
    modulation = self.modulation(modulator_BPD)
    q, k, v = self._attention_inputs(x_BPD, modulation)
    attended_BPHK, cache = sfa.step(q, k, v, cache, count_B)
    return self._rest(x_BPD, attended_BPHK, modulation), cache


class Backbone(nn.Module):
  """The layers over a whole clip: all but the last scanned over depth."""

  cfg: TalkerConfig

  @nn.compact
  def __call__(self, x_BTPD, sink_BND, modulator_BTPD):
    """Blocks, sink embedding [B N D] and what `modulator` gave -> [B T N D]."""
    cfg = self.cfg
    layer = nn.remat(Layer, prevent_cse=False) if cfg.remat else Layer
    streams, anchor_BND = (x_BTPD, sink_BND), sink_BND
    if cfg.depth > 1:
      layers = nn.scan(
        layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=cfg.depth - 1,
        unroll=cfg.unroll,
      )(cfg, name="layers")
      streams, _ = layers(streams, anchor_BND, modulator_BTPD)
    last = layer(cfg, last=True, name="last")
    (x_BTND, _), _ = last(streams, anchor_BND, modulator_BTPD)
    return x_BTND


def unstack_layers(params):
  """The backbone's parameters as a list with one tree for each layer."""
  apart = [params["last"]]
  if "layers" in params:
    stacked = params["layers"]
    scanned = range(jax.tree.leaves(stacked)[0].shape[0])
    apart[:0] = [jax.tree.map(lambda p, i=i: p[i], stacked) for i in scanned]
  return apart
