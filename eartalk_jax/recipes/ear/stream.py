"""Streaming: one frame at a time, at the same cost for ever.

  weights = prepare(params)
  state = open(model, weights, sink_BShwC, key_B, portrait)
  state, latent_BhwC = step(model, weights, state, signals)

The state is an explicit frozen pytree. Rows of a batch are independent streams,
each with its own age, randomness and conditions; noise depends on a row's key
and age alone, so the same frames come out in chunks of any length.

Dimension key: B streams, T frames, S sink frames, N tokens, J = S * N,
c numbers in a token, D width, h, w, C latent grid and channels.
"""

import flax.struct
import jax
import jax.numpy as jnp

from eartalk_jax import heads
from eartalk_jax.attention.step import LayerCache
from eartalk_jax.denoising.guidance import NO_GUIDANCE
from eartalk_jax.layers.patches import to_latents, to_tokens
from eartalk_jax.models.backbone import Layer, band, unstack_layers
from eartalk_jax.models.talker import opening


@flax.struct.dataclass
class StreamState:
  """All that streams remember: a fixed size, whatever their age.

  Attributes:
    count_B: frames made so far.
    previous_BNc: tokens of the last frame.
    sink_BNc: tokens of the portrait.
    anchor_BJD: the sink's embedding, for the adaptive norms.
    portrait_BE: its own conditions, embedded (E numbers).
    caches: one LayerCache for each layer.
    key_B: the randomness of each stream, a key's numbers; never changes.
  """

  count_B: jax.Array
  previous_BNc: jax.Array
  sink_BNc: jax.Array
  anchor_BJD: jax.Array
  portrait_BE: jax.Array
  caches: tuple[LayerCache, ...]
  key_B: jax.Array


def prepare(params):
  """Parameters with the layers apart: fastest to read one frame at a time."""
  rest = {name: value for name, value in params.items() if name != "backbone"}
  return {"rest": rest, "layers": unstack_layers(params["backbone"])}


def _layers(cfg, weights):
  """Each layer with its parameters."""
  *early, last = weights["layers"]
  return [
    *((Layer(cfg), params) for params in early),
    (Layer(cfg, last=True), last),
  ]


def _apply(model, weights, method, *args):
  return model.apply({"params": weights["rest"]}, *args, method=method)


def open(model, weights, sink_BShwC, key_B, portrait):
  """See `Recipe`; of a Talker."""
  cfg = model.cfg
  before_BNc, sink_BSNc = opening(cfg, to_tokens(sink_BShwC, cfg.patch))
  sink_BJD, anchor_BJD = _apply(model, weights, "embed_sink", sink_BSNc)
  caches = []
  for layer, params in _layers(cfg, weights):
    sink_BJD, k_BJHK, v_BJHK = layer.apply(
      {"params": params}, sink_BJD, anchor_BJD, method="sink"
    )
    caches.append(LayerCache.empty(k_BJHK, v_BJHK, cfg.tokens, band(cfg)))
  return StreamState(
    count_B=jnp.zeros(before_BNc.shape[:1], jnp.int32),
    previous_BNc=before_BNc,
    sink_BNc=sink_BSNc[:, 0],
    anchor_BJD=anchor_BJD,
    portrait_BE=_apply(model, weights, "embed_portrait", portrait),
    caches=tuple(caches),
    key_B=jax.random.key_data(key_B),
  )


def hidden(model, weights, state, signals):
  """The backbone on the next block: (what the head reads, new caches)."""
  cfg = model.cfg
  # The past is told to be noisy, which it is not: the model then trusts it
  # only so far, its own errors die out, and no noise flickers in the frames.
  level_B = jnp.full(
    state.count_B.shape, cfg.history.sampling_level, jnp.float32
  )
  x_BPD, beside = _apply(
    model,
    weights,
    "embed_block",
    state.previous_BNc,
    level_B,
    (state.count_B > 0) | cfg.sinkless,
    state.sink_BNc,
    state.portrait_BE,
    signals,
  )
  modulator_BPD = _apply(model, weights, "modulator", state.anchor_BJD, beside)
  caches = []
  layers = _layers(cfg, weights)
  for (layer, params), cache in zip(layers, state.caches, strict=True):
    x_BPD, cache = layer.apply(
      {"params": params},
      x_BPD,
      modulator_BPD,
      cache,
      state.count_B,
      method="step",
    )
    caches.append(cache)
  # After the last layer, x is [B N D].
  features = _apply(model, weights, "finish", x_BPD, beside)
  return features, tuple(caches)


def _branched_hidden(model, weights, state, signals, guidance):
  """`hidden` of all branches; the full one's block is remembered."""
  features, caches = hidden(
    model,
    weights,
    jax.tree.map(guidance.repeat, state),
    guidance.branches(signals),
  )
  return features, jax.tree.map(guidance.first, caches)


def step(model, weights, state, signals, guidance=NO_GUIDANCE):
  """See `Recipe`; of a Talker, whose step is told of one latent."""
  signals = signals.at(0)
  cfg = model.cfg
  features, caches = _branched_hidden(model, weights, state, signals, guidance)
  key_B = jax.random.wrap_key_data(state.key_B)
  key_B = jax.vmap(jax.random.fold_in)(key_B, state.count_B)

  net = model.bind({"params": weights["rest"]}).head
  away_BNc = heads.of(cfg.head).sample(cfg.head, net, features, key_B, guidance)
  frame_BNc = state.sink_BNc + cfg.head.spread * away_BNc
  state = state.replace(
    count_B=state.count_B + 1, previous_BNc=frame_BNc, caches=caches
  )
  return state, to_latents(frame_BNc, cfg.latent_shape, cfg.patch)
