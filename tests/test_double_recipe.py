"""A recipe from elsewhere: no history, everybody sees all around.

Nothing outside of this file knows it, and the whole road is walked with it.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from road import Road, beeps, patches

from eartalk_jax import heads, recipes
from eartalk_jax.attention.visibility import Around
from eartalk_jax.errors import UserError
from eartalk_jax.layers.patches import to_latents, to_tokens
from eartalk_jax.layers.placement import ALONE
from eartalk_jax.models import talker
from eartalk_jax.models.signals import Signals
from eartalk_jax.speech import open_speech

REACH = AHEAD = 2


VIEW, init_params = Around(REACH), talker.init_params


def model(cfg, placement=ALONE):
  return talker.Talker(cfg, placement, VIEW)


def features(model, params, sink_BSNc, portrait, signals):
  """What the head reads of every latent: of its signals and the portrait."""
  b, t = signals.audio.given.shape
  portrait_BTNc = jnp.repeat(sink_BSNc[:, :1], t, axis=1)
  level_BT, first_B = jnp.zeros((b, t)), jnp.zeros(b, int)
  rest = level_BT, sink_BSNc, portrait, signals, first_B
  return model.apply({"params": params}, portrait_BTNc, *rest, method="hidden")


def losses(model, params, frozen, batch, key, fixed=None):
  cfg, params = model.cfg, model.placement.gather_rest(params)
  sink_BSNc = to_tokens(batch["sink_BShwC"], cfg.patch)
  tokens_BTNc = to_tokens(batch["latents_BThwC"], cfg.patch)
  target_BTNc = (tokens_BTNc - sink_BSNc[:, :1]) / cfg.head.spread
  read = features(model, params, sink_BSNc, batch["portrait"], batch["signals"])
  net = model.bind({"params": params}).head
  return heads.of(cfg.head).loss(cfg.head, net, target_BTNc, read, key)


def signs(*args):
  return {"loss_ema": losses(*args).mean()}


def open(model, weights, sink_BShwC, key_B, portrait):
  rows, cfg = len(sink_BShwC), model.cfg
  past = jax.tree.map(jnp.asarray, Signals.blank(cfg, (rows, REACH)))
  sink_BSNc = to_tokens(sink_BShwC, cfg.patch)
  keys = jax.random.key_data(key_B)
  return past, portrait, sink_BSNc, keys, jnp.zeros(rows, int)


def step(model, weights, state, signals, guidance):
  cfg, (past, portrait, sink_BSNc, keys, count_B) = model.cfg, state
  window = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), past, signals)
  read_BR = features(model, weights, sink_BSNc, portrait, window)
  read_B = jax.tree.map(lambda x: x[:, REACH], read_BR)
  key_B = jax.random.wrap_key_data(keys)
  key_B = jax.vmap(jax.random.fold_in)(key_B, count_B)
  net = model.bind({"params": weights}).head
  away = heads.of(cfg.head).sample(cfg.head, net, read_B, key_B, guidance)
  frame_BNc = sink_BSNc[:, 0] + cfg.head.spread * away
  past = jax.tree.map(lambda x: x[:, 1 : 1 + REACH], window)
  state = past, portrait, sink_BSNc, keys, count_B + 1
  return state, to_latents(frame_BNc, cfg.latent_shape, cfg.patch)


def test_the_whole_road(tmp_path, monkeypatch):
  ours = {"prepare": lambda params: params, "visibility": lambda cfg: VIEW}
  recipe = types.SimpleNamespace(**globals(), **ours)
  road = Road(tmp_path, patches(), open_speech("mel:8"), "around")
  with pytest.raises(UserError, match="recipe.kind 'around'"):
    road.train(4)
  monkeypatch.setitem(recipes.KINDS, "around", recipe)
  jax.tree.map(
    np.testing.assert_array_equal, road.train(8, name="once"), road.train(4, 8)
  )
  samples_S, _ = beeps(30, seed=99)
  film_T = road.film(samples_S)
  assert len(film_T) == 30
  stream_T = road.stream(samples_S, cut=9_000)
  assert np.abs(stream_T - film_T).max() < 6  # what the codec does
  assert road.evaluate()["frames"] == 75
