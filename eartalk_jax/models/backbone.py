"""The frame-causal transformer: SFA layers over blocks, modulated by the sink.

The sink runs through the same layers, attending to itself, so that each
layer has its keys and values; its embedding also gives every layer an adaptive
norm, token by token (the paper's anchor; NOVA's scale-and-shift layer),
together with what the conditions ask for there. Gates are zero at the start, as
in DiT: the stack begins as a copy of what it reads.

Nobody reads the conditions and the sink after the last layer, so that one makes
nothing but the frame. Shallow models notice.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens (those of the portrait first), D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.attention import sfa
from eartalk_jax.attention.step import step
from eartalk_jax.attention.visibility import Causal, Visibility
from eartalk_jax.layers.basic import (
  Heads,
  MergeHeads,
  Mlp,
  Modulation,
  modulate,
  norm,
)
from eartalk_jax.layers.placement import ALONE, Placement, layer_class
from eartalk_jax.models.config import TalkerConfig


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


def band(cfg, view=None):
  """What the queries may see: EARTalking's, unless a Visibility is given."""
  view = Causal(cfg.window) if view is None else view
  return sfa.Band(view, cfg.condition_tokens, cfg.positions)


class Layer(nn.Module):
  """One SFA layer, with three entries: the sink, a clip, one streamed block.

  Attributes:
    cfg: of the talker.
    last: whether it is the last one, which returns N tokens of a block's P, and
      None for the sink's next state.
    placement: what a mesh changes.
    view: who sees whom, see `band`.
  """

  cfg: TalkerConfig
  last: bool = False
  placement: Placement = ALONE
  view: Visibility | None = None

  def setup(self):
    cfg, dtype = self.cfg, jnp.dtype(self.cfg.dtype)
    self.modulation = Modulation(cfg.width, 6, dtype, rank=cfg.sink_rank)
    self.attention_norm = norm()
    self.attention = Heads(
      cfg.heads, cfg.width // cfg.heads, dtype, turned=True
    )
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

  def sink(self, sink_BJD, anchor_BJD):
    """Returns the sink's next state and its keys and values."""
    modulation = self.modulation(anchor_BJD)
    q_BJHK, k_BJHK, v_BJHK = self._attention_inputs(sink_BJD, modulation)
    if "sink" in self.cfg.without:
      k_BJHK, v_BJHK = k_BJHK[:, :0], v_BJHK[:, :0]
      return sink_BJD, k_BJHK, v_BJHK
    if self.last:
      return None, k_BJHK, v_BJHK
    attended_BJHK = sfa.spatial(q_BJHK, k_BJHK, v_BJHK)
    return self._rest(sink_BJD, attended_BJHK, modulation), k_BJHK, v_BJHK

  def __call__(self, streams, anchor_BJD, modulator_BTPD, first_B):
    """Training: (x_BTPD, sink_BJD) -> the next layer's pair."""
    x_BTPD, sink_BJD = streams
    x_BTPD = self.placement.keep(x_BTPD)
    sink_BJD, sink_k_BJHK, sink_v_BJHK = self.sink(sink_BJD, anchor_BJD)
    modulation = self.modulation(modulator_BTPD)
    q, k, v = self._attention_inputs(x_BTPD, modulation)
    attended_BTPHK = self.placement.attend(
      q, k, v, sink_k_BJHK, sink_v_BJHK, band(self.cfg, self.view), first_B
    )
    return (
      self._rest(x_BTPD, attended_BTPHK, modulation),
      sink_BJD,
    ), None

  def step(self, x_BPD, modulator_BPD, cache, count_B):
    """Streaming: one block and the layer's cache -> the same, moved on."""
    modulation = self.modulation(modulator_BPD)
    q, k, v = self._attention_inputs(x_BPD, modulation)
    attended_BPHK, cache = step(
      q, k, v, cache, count_B, band(self.cfg, self.view)
    )
    return self._rest(x_BPD, attended_BPHK, modulation), cache


class Backbone(nn.Module):
  """The layers over a whole clip: all but the last scanned over depth."""

  cfg: TalkerConfig
  placement: Placement = ALONE
  view: Visibility | None = None

  @nn.compact
  def __call__(self, x_BTPD, sink_BJD, anchor_BJD, modulator_BTPD, first_B):
    """The frame tokens after all layers, [B T N D].

    Args:
      x_BTPD: blocks.
      sink_BJD, anchor_BJD: from `Talker.embed_sink`.
      modulator_BTPD: from `modulator`.
      first_B: number of each clip's first block.
    """
    cfg, placement = self.cfg, self.placement
    streams, rest = (x_BTPD, sink_BJD), (anchor_BJD, modulator_BTPD, first_B)
    if cfg.depth > 1:
      layers = nn.scan(
        layer_class(Layer, placement, cfg.remat, scanned=True),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=cfg.depth - 1,
        unroll=cfg.unroll,
      )(cfg, placement=placement, view=self.view, name="layers")
      streams, _ = layers(streams, *rest)
    last = layer_class(Layer, placement, cfg.remat)(
      cfg, last=True, placement=placement, view=self.view, name="last"
    )
    (x_BTND, _), _ = last(streams, *rest)
    return x_BTND


def unstack_layers(params):
  """The backbone's parameters as a list with one tree for each layer."""
  apart = [params["last"]]
  if "layers" in params:
    stacked = params["layers"]
    scanned = range(jax.tree.leaves(stacked)[0].shape[0])
    apart[:0] = [jax.tree.map(lambda p, i=i: p[i], stacked) for i in scanned]
  return apart
