"""What EARTalking is trained for, and the signs that it learns the right thing.

Dimension key: B batch, T frames, S sink frames, N tokens, c numbers in a token,
h, w, C latent grid and channels.
"""

import dataclasses

import jax
import jax.numpy as jnp

from eartalk_jax import heads
from eartalk_jax.denoising.guidance import NO_GUIDANCE
from eartalk_jax.layers.patches import to_tokens
from eartalk_jax.models.talker import init_params, opening

# The training log samples in few steps: it asks for motion, not for beauty.
_QUICK_STEPS = 4


def noisy_history(tokens_BTNc, before_BNc, history, key, level_BT=None):
  """Shifts a clip by one frame and noises it, against exposure bias.

  The levels' cubes are uniform: a little noise leaves so much of the last frame
  to copy that such a frame teaches nothing about its conditions.

  Args:
    tokens_BTNc: the clips.
    before_BNc: what comes before them.
    history: HistoryConfig.
    key: randomness of noise and levels.
    level_BT: the levels, where they are not to be drawn.

  Returns:
    (previous_BTNc, level_BT): frame i-1 at place i, x + level * noise, and
    `before_BNc` at place 0.
  """
  level_key, clean_key, noise_key = jax.random.split(key, 3)
  shape_BT = tokens_BTNc.shape[:2]
  if level_BT is None:
    uniform_BT = jax.random.uniform(level_key, shape_BT)
    level_BT = history.max_level * jnp.cbrt(uniform_BT)
    clean_BT = jax.random.bernoulli(clean_key, history.clean_share, shape_BT)
    level_BT = jnp.where(clean_BT, 0.0, level_BT)
  # Rolled, not joined: where time is split over devices, this is one halo.
  is_first_T1 = jnp.arange(shape_BT[1])[:, None] == 0
  previous_BTNc = jnp.where(
    is_first_T1[None, :, :, None],
    before_BNc[:, None],
    jnp.roll(tokens_BTNc, 1, axis=1),
  )
  noise_BTNc = jax.random.normal(noise_key, tokens_BTNc.shape)
  return previous_BTNc + level_BT[..., None, None] * noise_BTNc, level_BT


def _hidden(model, params, batch, key, level_BT=None):
  """(deviations_BTNc of all frames, the head's features of them).

  The history is noised afresh by `key`, to `level_BT` if that is given.

  Raises:
    ValueError: the batch has more or fewer sink frames than the model.
  """
  cfg = model.cfg
  sinks = batch["sink_BShwC"].shape[1]
  if sinks != cfg.sinks:
    raise ValueError(
      f"{sinks} sink frames in a batch, {cfg.sinks} in the model"
    )
  history_key, first_key = jax.random.split(key)
  tokens_BTNc = to_tokens(batch["latents_BThwC"], cfg.patch)
  before_BNc, sink_BSNc = opening(
    cfg, to_tokens(batch["sink_BShwC"], cfg.patch)
  )
  previous_BTNc, level_BT = noisy_history(
    tokens_BTNc, before_BNc, cfg.history, history_key, level_BT
  )
  # A clip may begin anywhere in a long stream.
  first_B = jax.random.randint(first_key, level_BT.shape[:1], 0, cfg.window + 1)
  features = model.apply(
    {"params": params},
    previous_BTNc,
    level_BT,
    sink_BSNc,
    batch["portrait"],
    batch["signals"],
    first_B,
    method="hidden",
  )
  away_BTNc = (tokens_BTNc - sink_BSNc[:, :1]) / cfg.head.spread
  return away_BTNc, features


def losses(model, params, frozen, batch, key, fixed=None):
  """See `Recipe`; nothing is frozen."""
  del frozen
  fixed = fixed or {}
  params = model.placement.gather_rest(params)
  history_key, head_key = jax.random.split(key)
  target_BTNc, features = _hidden(
    model, params, batch, history_key, fixed.get("level_BT")
  )
  head = model.cfg.head
  net = model.bind({"params": params}).head
  return heads.of(head).loss(
    head, net, target_BTNc, features, head_key, fixed.get("uniform")
  )


def portrait_losses(model, batch, key, fixed):
  """See `Recipe`."""
  cfg = model.cfg
  tokens_BTNc = to_tokens(batch["latents_BThwC"], cfg.patch)
  _, sink_BSNc = opening(cfg, to_tokens(batch["sink_BShwC"], cfg.patch))
  target_BTNc = (tokens_BTNc - sink_BSNc[:, :1]) / cfg.head.spread
  _, head_key = jax.random.split(key)  # as in `losses`
  nothing = jnp.zeros_like(target_BTNc)
  features = jnp.zeros((*nothing.shape[:-1], cfg.width)), nothing
  # A head of zeros adds nothing to the guess, which is none.
  shapes = jax.eval_shape(init_params(model), jax.random.key(0))
  params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
  net = model.bind({"params": params}).head
  return heads.of(cfg.head).loss(
    cfg.head, net, target_BTNc, features, head_key, fixed["uniform"]
  )


def _with_shuffled(batch, name):
  """The batch with one signal, and where it is given, of the neighbour row."""
  signals = batch["signals"]
  rolled = jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), signals[name])
  return {**batch, "signals": signals.put(name, rolled)}


def _sampled_motion(model, params, batch, key):
  """Mean change between frames sampled on true history, over the true one."""
  params = model.placement.gather_rest(params)
  history_key, noise_key = jax.random.split(key)
  target_BTNc, features = _hidden(model, params, batch, history_key)
  features = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), features)
  key_B = jax.random.split(noise_key, len(features[0]))
  net = model.bind({"params": params}).head
  head = _quick(model.cfg.head)
  sampled_BNc = heads.of(head).sample(head, net, features, key_B, NO_GUIDANCE)

  def motion(x_BTNc):
    return jnp.abs(jnp.diff(x_BTNc, axis=1)).mean()

  sampled_BTNc = sampled_BNc.reshape(target_BTNc.shape)
  return motion(sampled_BTNc) / jnp.maximum(motion(target_BTNc), 1e-6)


def _quick(head):
  """A head's config with few steps."""
  counts = {
    name: min(getattr(head, name), _QUICK_STEPS)
    for name in heads.of(head).SETTINGS
    if isinstance(getattr(head, name), int)
  }
  return dataclasses.replace(head, **counts)


def signs(model, params, frozen, batch, key):
  """See `Recipe`.

  `listens/NAME` is the share by which the loss grows when signal NAME comes
  from another clip: about 0 means that the model is deaf to it, whatever its
  loss. `motion` is the motion of frames sampled on true history over the real
  one: far below 1 means frozen, far above 1 means flicker.
  """

  def loss(batch):
    return losses(model, params, frozen, batch, key).mean()

  whole = loss(batch)
  out = {"loss_ema": whole}
  for name in ["audio"] + [control.name for control in model.cfg.controls]:
    out[f"listens/{name}"] = loss(_with_shuffled(batch, name)) / whole - 1
  return out | {"motion": _sampled_motion(model, params, batch, key)}
