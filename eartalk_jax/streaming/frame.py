"""Streaming: one frame at a time, at the same cost for ever.

  weights = prepare(params)
  state = init(model, weights, sink_BhwC, key_B, portrait)
  state, latent_BhwC = step(model, weights, state, signals)

The state is an explicit frozen pytree. Rows of a batch are independent streams,
each with its own age, randomness and conditions; noise depends on a row's key
and age alone, so the same frames come out in chunks of any length.

Dimension key: B streams, T frames, N tokens, c numbers in a token, D width,
h, w, C latent grid and channels.
"""

import flax.struct
import jax
import jax.numpy as jnp

from eartalk_jax import flow
from eartalk_jax.models import sfa
from eartalk_jax.models.backbone import Layer, modulator, unstack_layers
from eartalk_jax.models.patches import to_latents, to_tokens


@flax.struct.dataclass
class StreamState:
  """All that streams remember: a fixed size, whatever their age.

  Attributes:
    count_B: frames made so far.
    previous_BNc: tokens of the last frame.
    sink_BNc: tokens of the portrait.
    anchor_BND: the portrait's embedding, for the adaptive norms.
    portrait_BE: its own conditions, embedded (E numbers).
    caches: one LayerCache for each layer.
    key_B: the randomness of each stream; never changes.
  """

  count_B: jax.Array
  previous_BNc: jax.Array
  sink_BNc: jax.Array
  anchor_BND: jax.Array
  portrait_BE: jax.Array
  caches: tuple[sfa.LayerCache, ...]
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


def init(model, weights, sink_BhwC, key_B, portrait):
  """Opens streams from portraits.

  Args:
    model: a Talker.
    weights: from `prepare`.
    sink_BhwC: normalised latents of the portraits.
    key_B: one random key for each stream.
    portrait: what is known of the portraits, as `Conditions` takes it, [B ...].
  """
  cfg = model.cfg
  sink_BNc = to_tokens(sink_BhwC, cfg.patch)
  anchor_BND = sink_BND = _apply(model, weights, "embed_sink", sink_BNc)
  caches = []
  for layer, params in _layers(cfg, weights):
    sink_BND, k_BNHK, v_BNHK = layer.apply(
      {"params": params}, sink_BND, anchor_BND, method="sink"
    )
    caches.append(sfa.LayerCache.empty(k_BNHK, v_BNHK, cfg.window))
  return StreamState(
    count_B=jnp.zeros(sink_BNc.shape[:1], jnp.int32),
    previous_BNc=jnp.zeros_like(sink_BNc),
    sink_BNc=sink_BNc,
    anchor_BND=anchor_BND,
    portrait_BE=_apply(model, weights, "embed_portrait", portrait),
    caches=tuple(caches),
    key_B=key_B,
  )


def _noise(state):
  """Noise [B N c] of the frame that each row makes next."""
  shape = state.previous_BNc.shape[1:]

  def draw(key, count):
    return jax.random.normal(jax.random.fold_in(key, count), shape)

  return jax.vmap(draw)(state.key_B, state.count_B)


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
    state.count_B > 0,
    state.sink_BNc,
    state.portrait_BE,
    signals,
  )
  modulator_BPD = modulator(state.anchor_BND, beside[0], cfg.condition_tokens)
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


def _guided_hidden(model, weights, state, signals):
  """Rows with their audio, then the same rows with the audio's null.

  Both read the same past; only the first half's block is remembered.
  """

  def twice(x):
    return jnp.concatenate([x, x])

  given_B = signals["audio_given"]
  doubled = jax.tree.map(twice, signals)
  doubled["audio_given"] = jnp.concatenate([given_B, jnp.zeros_like(given_B)])
  features, caches = hidden(model, weights, jax.tree.map(twice, state), doubled)
  rows = given_B.shape[0]
  return features, jax.tree.map(lambda x: x[:rows], caches)


def step(model, weights, state, signals, steps=None, audio_guidance_B=None):
  """Makes the next frame of every stream.

  Args:
    model, weights, state: see `init`.
    signals: the frame's conditions as `Conditions` takes them, [B ...].
    steps: sampling steps of the head; the config's unless given.
    audio_guidance_B: classifier-free guidance scale on the audio (1 is none),
      an array, so that changing it compiles nothing. None costs half.

  Returns:
    (the state after the frame, latent_BhwC).
  """
  cfg = model.cfg
  guided = audio_guidance_B is not None
  backbone = _guided_hidden if guided else hidden
  features, caches = backbone(model, weights, state, signals)

  def denoise(noisy_BNc, time_B):
    if not guided:
      return _apply(model, weights, "denoise", noisy_BNc, time_B, features)
    both = _apply(
      model,
      weights,
      "denoise",
      jnp.concatenate([noisy_BNc, noisy_BNc]),
      jnp.concatenate([time_B, time_B]),
      features,
    )
    heard_BNc, deaf_BNc = jnp.split(both, 2)
    scale_B11 = audio_guidance_B[:, None, None]
    return deaf_BNc + scale_B11 * (heard_BNc - deaf_BNc)

  noise_BNc = cfg.head.temperature * _noise(state)
  away_BNc = flow.sample(
    denoise, noise_BNc, steps or cfg.head.steps, cfg.head.shift
  )
  frame_BNc = state.sink_BNc + cfg.head.spread * away_BNc
  state = state.replace(
    count_B=state.count_B + 1, previous_BNc=frame_BNc, caches=caches
  )
  return state, to_latents(frame_BNc, cfg.latent_shape, cfg.patch)


def pixels_step(
  model, tokenizer, weights, state, signals, steps=None, audio_guidance_B=None
):
  """`step` and what the tokenizer shows of it.

  Args:
    tokenizer: of the frames; its own `params` decode.
    state: (StreamState, state of the tokenizer's decoder).
    model, weights, signals, steps, audio_guidance_B: see `step`.

  Returns:
    (the state after the frame, uint8 frames_BtYX3).
  """
  stream, latent_BhwC = step(
    model, weights, state[0], signals, steps, audio_guidance_B
  )
  decode, frames_BtYX3 = tokenizer.decode_step(state[1], latent_BhwC)
  return (stream, decode), jnp.round(frames_BtYX3 * 255).astype(jnp.uint8)
