"""The frame-causal transformer: SFA layers over blocks, modulated by the sink.

The sink frame runs through the same layers, attending to itself, so that each
layer has its keys and values; its embedding also gives every layer an adaptive
norm, token by token (the paper's anchor; NOVA's scale-and-shift layer).

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


def _for_block(anchor_BND, condition_tokens):
  """[B P D]: frame tokens take their own anchor, conditions take the mean."""
  mean_B1D = anchor_BND.mean(axis=1, keepdims=True)
  mean_BMD = jnp.repeat(mean_B1D, condition_tokens, axis=1)
  return jnp.concatenate([mean_BMD, anchor_BND], axis=1)


class Layer(nn.Module):
  """One SFA layer, with three entries: the sink, a clip, one streamed block."""

  cfg: TalkerConfig

  def setup(self):
    cfg, dtype = self.cfg, jnp.dtype(self.cfg.dtype)
    self.modulation = Modulation(cfg.width, 4, dtype, rank=cfg.sink_rank)
    self.attention_norm = norm()
    self.attention = Heads(cfg.heads, cfg.width // cfg.heads, dtype)
    self.merge = MergeHeads(cfg.width, dtype)
    self.mlp_norm = norm()
    self.mlp = Mlp(cfg.width, dtype)

  def _attention_inputs(self, x, shift, scale):
    return self.attention(modulate(self.attention_norm(x), shift, scale))

  def _rest(self, x, attended, shift, scale):
    x = x + self.merge(attended)
    return x + self.mlp(modulate(self.mlp_norm(x), shift, scale))

  def sink(self, sink_BND, anchor_BND):
    """Returns the sink's next state and its keys and values."""
    shift_a, scale_a, shift_m, scale_m = self.modulation(anchor_BND)
    q_BNHK, k_BNHK, v_BNHK = self._attention_inputs(sink_BND, shift_a, scale_a)
    attended_BNHK = sfa.spatial(q_BNHK, k_BNHK, v_BNHK)
    return self._rest(sink_BND, attended_BNHK, shift_m, scale_m), k_BNHK, v_BNHK

  def __call__(self, streams, anchor_BND):
    """Training: ((x_BTPD, sink_BND), anchor) -> the next layer's pair."""
    x_BTPD, sink_BND = streams
    sink_BND, sink_k_BNHK, sink_v_BNHK = self.sink(sink_BND, anchor_BND)
    conditions = x_BTPD.shape[2] - sink_BND.shape[1]
    anchor_B1PD = _for_block(anchor_BND, conditions)[:, None]
    shift_a, scale_a, shift_m, scale_m = self.modulation(anchor_B1PD)
    q, k, v = self._attention_inputs(x_BTPD, shift_a, scale_a)
    attended_BTPHK = sfa.banded(
      q, k, v, sink_k_BNHK, sink_v_BNHK, self.cfg.window
    )
    return (
      self._rest(x_BTPD, attended_BTPHK, shift_m, scale_m),
      sink_BND,
    ), None

  def step(self, x_BPD, anchor_BND, cache, count_B):
    """Streaming: one block and the layer's cache -> the same, moved on."""
    conditions = x_BPD.shape[1] - anchor_BND.shape[1]
    anchor_BPD = _for_block(anchor_BND, conditions)
    shift_a, scale_a, shift_m, scale_m = self.modulation(anchor_BPD)
    q, k, v = self._attention_inputs(x_BPD, shift_a, scale_a)
    attended_BPHK, cache = sfa.step(q, k, v, cache, count_B)
    return self._rest(x_BPD, attended_BPHK, shift_m, scale_m), cache


class Backbone(nn.Module):
  """The layers over a whole clip, scanned over depth."""

  cfg: TalkerConfig

  @nn.compact
  def __call__(self, x_BTPD, sink_BND):
    """[B T P D] blocks and [B N D] sink embedding -> [B T P D]."""
    cfg = self.cfg
    layer = nn.remat(Layer, prevent_cse=False) if cfg.remat else Layer
    layers = nn.scan(
      layer,
      variable_axes={"params": 0},
      split_rngs={"params": True},
      in_axes=nn.broadcast,
      length=cfg.depth,
      unroll=cfg.unroll,
    )(cfg, name="layers")
    (x_BTPD, _), _ = layers((x_BTPD, sink_BND), sink_BND)
    return x_BTPD


def unstack_layers(params):
  """Backbone parameters [L, ...] -> a list with one tree for each layer."""
  layers = params["layers"]
  depth = jax.tree.leaves(layers)[0].shape[0]
  return [jax.tree.map(lambda p, i=i: p[i], layers) for i in range(depth)]
