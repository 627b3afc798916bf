"""The talker: causality, the reach of each signal, declared controls."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from configs import base
from eartalk_jax.config import from_config
from eartalk_jax.layers.patches import to_latents, to_tokens
from eartalk_jax.models.config import (
  ControlConfig,
  HistoryConfig,
  TalkerConfig,
)
from eartalk_jax.models.signals import Signal
from eartalk_jax.models.talker import Talker, init_params, opening
from eartalk_jax.recipes.ear import objective
from eartalk_jax.scaling import flops

T = 11
PAST = ((0, 0), (1, 0), (0, 0), (0, 0))  # one frame later


@pytest.fixture(scope="module")
def model_and_params():
  return talkers.talker()


@functools.partial(jax.jit, static_argnums=0)
def _hidden(model, params, batch):
  tokens_BTNc = to_tokens(batch["latents_BThwC"], model.cfg.patch)
  before_BNc, sink_BSNc = opening(
    model.cfg, to_tokens(batch["sink_BShwC"], model.cfg.patch)
  )
  level_BT = jnp.zeros(tokens_BTNc.shape[:2])
  return model.apply(
    {"params": params},
    jnp.concatenate([before_BNc[:, None], tokens_BTNc[:, :-1]], axis=1),
    level_BT,
    sink_BSNc,
    batch["portrait"],
    batch["signals"],
    jnp.zeros(level_BT.shape[:1], int),
    method="hidden",
  )[0]


def test_patches_come_back_as_they_went():
  latents = jax.random.normal(jax.random.key(0), (2, 3, 8, 4, 5))
  tokens = to_tokens(latents, 2)
  assert tokens.shape == (2, 3, 8, 20)
  np.testing.assert_array_equal(to_latents(tokens, (8, 4, 5), 2), latents)
  np.testing.assert_array_equal(
    tokens[0, 0, 1].reshape(2, 2, 5), latents[0, 0, :2, 2:4]
  )


@pytest.mark.parametrize("name", ["latents_BThwC", "audio", "pose"])
def test_no_frame_sees_the_future(model_and_params, name):
  model, params = model_and_params
  batch = talkers.batch(frames=T)
  frame = 6
  latents = name == "latents_BThwC"

  def frame_sum(x):
    changed = {**batch, name: x}
    if not latents:
      given = Signal(x, jnp.ones((2, T), bool))
      changed = {**batch, "signals": batch["signals"].put(name, given)}
    return _hidden(model, params, changed)[0, frame].sum()

  x = batch[name] if latents else batch["signals"][name].value
  grad = jax.jit(jax.grad(frame_sum))(x)
  # Frame i reads the picture before it, and its own audio and controls.
  last = frame - 1 if latents else frame
  assert jnp.all(grad[0, last + 1 :] == 0)
  assert jnp.any(grad[0, last] != 0)
  assert jnp.all(grad[1] == 0), "rows mix"


def test_the_window_forgets_but_the_sink_stays(model_and_params):
  model, params = model_and_params
  batch = talkers.batch(frames=T)

  def grads(latents, sink):
    changed = {**batch, "latents_BThwC": latents, "sink_BShwC": sink}
    return _hidden(model, params, changed)[0, T - 1].sum()

  grad_latents, grad_sink = jax.jit(jax.grad(grads, argnums=(0, 1)))(
    batch["latents_BThwC"], batch["sink_BShwC"]
  )
  cfg = model.cfg
  # Each layer reaches W - 1 blocks further back; a block holds frame i - 1.
  reach = cfg.depth * (cfg.window - 1)
  assert jnp.all(grad_latents[0, : T - 2 - reach] == 0)
  assert jnp.any(grad_latents[0, T - 2 - reach] != 0)
  assert jnp.any(grad_sink[0] != 0)


def test_a_signal_that_is_not_given_has_no_effect(model_and_params):
  model, params = model_and_params
  batch = talkers.batch()
  pose = batch["signals"]["pose"]
  other = Signal(pose.value + 1.0, pose.given)
  changed = {**batch, "signals": batch["signals"].put("pose", other)}
  before = _hidden(model, params, batch)
  after = _hidden(model, params, changed)
  first_given = int(jnp.argmax(pose.given[0]))
  np.testing.assert_array_equal(before[0, :first_given], after[0, :first_given])
  assert jnp.any(before[0, first_given] != after[0, first_given])


def test_history_is_the_frame_before_at_the_level_that_is_told():
  history = HistoryConfig(max_level=3.0, clean_share=0.2, sampling_level=0.0)
  tokens_BTNc = jax.random.normal(jax.random.key(0), (500, 4, 8, 2))
  noisy, level_BT = objective.noisy_history(
    tokens_BTNc, jnp.zeros((500, 8, 2)), history, jax.random.key(1)
  )
  noise = np.asarray(noisy - jnp.pad(tokens_BTNc[:, :-1], PAST))
  np.testing.assert_allclose(
    noise.std((2, 3)).mean(), level_BT.mean(), rtol=0.1
  )
  assert np.all(noise[level_BT == 0] == 0)
  level_BT = np.asarray(level_BT)
  assert 0.15 < np.mean(level_BT == 0) < 0.25
  # Cubes are uniform: an eighth of what is noised lies in the lower half.
  assert level_BT.max() <= 3
  assert 0.1 < np.mean(level_BT[level_BT > 0] < 1.5) < 0.15


def test_a_new_control_needs_nothing_but_its_declaration():
  wink = ControlConfig("wink", "continuous", 2, 0.5)
  model, params = talkers.talker(controls=(*talkers.TINY.controls, wink))
  batch = talkers.batch()
  given_BT = jnp.ones_like(batch["signals"].audio.given)

  def loss(value_BTK):
    winks = Signal(value_BTK, given_BT)
    known = Signal(value_BTK[:, 0], given_BT[:, 0])
    changed = {
      **batch,
      "signals": batch["signals"].put("wink", winks),
      "portrait": batch["portrait"].put("wink", known),
    }
    return talkers.talker_loss(model)(params, changed, jax.random.key(0))

  assert jnp.any(jax.jit(jax.grad(loss))(jnp.ones((*given_BT.shape, 2))) != 0)


def test_what_is_known_of_the_portrait_counts_and_the_rest_does_not():
  model, params = talkers.talker()
  batch = talkers.batch()

  def hidden(more=0):
    pose = batch["portrait"]["pose"]
    turned = pose.replace(value=pose.value + more)
    portrait = batch["portrait"].put("pose", turned)
    return _hidden(model, params, {**batch, "portrait": portrait})

  # The first row's pose is known, the second row's is not.
  turned = hidden(more=1)
  same = jnp.all(turned == hidden(), axis=(1, 2, 3))
  np.testing.assert_array_equal(same, [False, True])


def test_remat_and_unrolling_change_no_gradient():
  model, params = talkers.talker()
  batch, key = talkers.batch(), jax.random.key(0)
  grads = []
  for changes in ({}, {"remat": True}, {"unroll": 2}):
    variant, _ = talkers.talker(**changes)
    loss_fn = talkers.talker_loss(variant)
    grads.append(
      jax.jit(jax.grad(lambda p, f=loss_fn: f(p, batch, key)))(params)
    )
  for other in grads[1:]:
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), grads[0], other
    )


def test_what_is_left_out_has_no_effect():
  batch = talkers.batch()
  other = {**batch, "sink_BShwC": batch["sink_BShwC"] + 1}

  def effect_of_portrait(**changes):
    model, params = talkers.talker(**changes)
    one, two = (_hidden(model, params, b) for b in (batch, other))
    return jnp.abs(one - two).max(axis=(0, 2, 3))

  # Without a sink the portrait is the frame before the first, for a while.
  reach = 1 + talkers.TINY.depth * (talkers.TINY.window - 1)
  effect_T = effect_of_portrait(without=("sink",))
  assert jnp.all(effect_T[:reach] > 0) and jnp.all(effect_T[reach:] == 0)
  assert jnp.all(effect_of_portrait() > 0)
  assert jnp.all(effect_of_portrait(without=("anchor",)) > 0)
  for name in ("anchor", "direct"):
    model, params = talkers.talker(without=(name,))
    plain, _ = talkers.talker()
    assert jnp.any(
      _hidden(model, params, batch) != _hidden(plain, params, batch)
    )


def test_every_sink_frame_counts():
  model, params = talkers.talker(sinks=3)
  batch = talkers.batch(model.cfg)

  def total(sink_BShwC):
    return _hidden(model, params, {**batch, "sink_BShwC": sink_BShwC}).sum()

  grad = jax.jit(jax.grad(total))(batch["sink_BShwC"])
  assert jnp.all(jnp.any(grad != 0, axis=(2, 3, 4)))


def dead(grads):
  """Paths of the leaves whose gradient is nothing but rounding."""
  return [
    jax.tree_util.keystr(path)
    for path, g in jax.tree_util.tree_leaves_with_path(grads)
    if jnp.abs(g).max() < 1e-5
  ]


@pytest.mark.parametrize(
  ("head", "positions"),
  [
    ("flow", "relative"),
    ("masked", "cyclic"),
    pytest.param("flow", "cyclic", marks=pytest.mark.proof),
    pytest.param("masked", "relative", marks=pytest.mark.proof),
  ],
)
def test_every_parameter_learns(head, positions):
  model, params = talkers.talker(head=talkers.HEADS[head], positions=positions)
  loss_fn = talkers.talker_loss(model)
  batch = talkers.batch(rows=8)
  grads = jax.jit(jax.grad(lambda p: loss_fn(p, batch, jax.random.key(0))))(
    params
  )
  assert dead(grads) == []


def test_bfloat16_computes_close_to_float32():
  model, params = talkers.talker()
  half, _ = talkers.talker(dtype="bfloat16")
  batch = talkers.batch()
  full = _hidden(model, params, batch)
  np.testing.assert_allclose(
    _hidden(half, params, batch).astype(jnp.float32), full, atol=0.3
  )


def test_a_real_size_model_has_the_parameters_it_claims():
  cfg = from_config(TalkerConfig, talkers.shipped(base).model)
  shapes = jax.eval_shape(init_params(Talker(cfg)), jax.random.key(0))
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert count == sum(flops.parameters(cfg).values())
  # As its file says.
  assert f"{count / 1e9:.2f} B parameters" in base.__doc__


def test_a_config_that_cannot_work_is_refused():
  with pytest.raises(ValueError, match="patch 3"):
    dataclasses.replace(talkers.TINY, patch=3)
  with pytest.raises(ValueError, match="categorical"):
    ControlConfig("pose", "vector", 3, 0.1)
  with pytest.raises(ValueError, match="'anker': known are"):
    dataclasses.replace(talkers.TINY, without=("anker",))
  with pytest.raises(ValueError, match="sinks is 0"):
    dataclasses.replace(talkers.TINY, sinks=0)
  with pytest.raises(ValueError, match="repeat"):
    dataclasses.replace(talkers.TINY, controls=talkers.TINY.controls * 2)
