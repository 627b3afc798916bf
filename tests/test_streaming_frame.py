"""Streaming: equal to the whole pass, in any chunks, row by row."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax import objective
from eartalk_jax.models.patches import to_tokens
from eartalk_jax.streaming import frame as streaming

T = 11


@pytest.fixture(scope="module")
def setup():
  model, params = talkers.talker()
  batch = talkers.batch(frames=T)
  signals = objective.signals_of(batch)
  by_frame = [jax.tree.map(lambda x, i=i: x[:, i], signals) for i in range(T)]
  return model, streaming.prepare(params), params, batch, by_frame


def _open(model, weights, batch, seeds):
  keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
  portrait = objective.portrait_signals(batch)
  return streaming.init(model, weights, batch["sink_BhwC"], keys, portrait)


def _run(model, weights, state, frames, **options):
  step = jax.jit(functools.partial(streaming.step, model, **options))
  out = []
  for signals in frames:
    state, latent = step(weights, state, signals)
    out.append(latent)
  return state, jnp.stack(out, axis=1)


def test_streaming_equals_the_teacher_forced_pass_through_three_wraps(setup):
  model, weights, params, batch, by_frame = setup
  assert 3 * model.cfg.window < T
  tokens_BTNc = to_tokens(batch["latents_BThwC"], model.cfg.patch)
  previous_BTNc = jnp.pad(tokens_BTNc[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
  whole_BTND, guesses_BTNc = model.apply(
    {"params": params},
    previous_BTNc,
    jnp.full(tokens_BTNc.shape[:2], model.cfg.history.sampling_level),
    to_tokens(batch["sink_BhwC"], model.cfg.patch),
    objective.portrait_signals(batch),
    objective.signals_of(batch),
    method="hidden",
  )
  state = _open(model, weights, batch, [0, 1])
  hidden = jax.jit(functools.partial(streaming.hidden, model))
  for i, signals in enumerate(by_frame):
    state = state.replace(previous_BNc=previous_BTNc[:, i])
    (h_BND, guess_BNc), caches = hidden(weights, state, signals)
    np.testing.assert_allclose(h_BND, whole_BTND[:, i], atol=1e-5)
    np.testing.assert_allclose(guess_BNc, guesses_BTNc[:, i], atol=1e-5)
    state = state.replace(caches=caches, count_B=state.count_B + 1)


def test_a_control_changed_at_a_frame_changes_nothing_before_it(setup):
  model, weights, _, batch, by_frame = setup
  changed = list(by_frame)
  pose = {"value": jnp.full((2, 3), 2.0), "given": jnp.array([True, True])}
  changed[5] = {
    **changed[5],
    "controls": {**changed[5]["controls"], "pose": pose},
  }
  state = _open(model, weights, batch, [0, 1])
  _, before = _run(model, weights, state, by_frame)
  _, after = _run(model, weights, state, changed)
  np.testing.assert_array_equal(before[:, :5], after[:, :5])
  assert jnp.any(before[:, 5] != after[:, 5])


def test_rows_of_different_ages_are_independent_streams(setup):
  model, weights, _, batch, by_frame = setup
  state = _open(model, weights, batch, [7, 8])
  _, together = _run(model, weights, state, by_frame[:6])

  def row(tree, index):
    return jax.tree.map(lambda x: x[index : index + 1], tree)

  # Row 1 starts three frames late, beside an older row 0.
  first = _open(model, weights, jax.tree.map(lambda x: x[:1], batch), [7])
  first, _ = _run(
    model, weights, first, [row(signals, 0) for signals in by_frame[:3]]
  )
  late = _open(model, weights, jax.tree.map(lambda x: x[1:], batch), [8])
  joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, late)
  mixed = [
    jax.tree.map(
      lambda old, young: jnp.stack([old[0], young[1]]),
      by_frame[i + 3],
      by_frame[i],
    )
    for i in range(3)
  ]
  _, mixed_out = _run(model, weights, joined, mixed)
  np.testing.assert_allclose(mixed_out[0], together[0, 3:6], atol=1e-5)
  np.testing.assert_allclose(mixed_out[1], together[1, :3], atol=1e-5)


def test_the_seed_decides_the_frames(setup):
  model, weights, _, batch, by_frame = setup
  runs = [
    _run(
      model,
      weights,
      _open(model, weights, batch, seeds),
      by_frame[:2],
    )[1]
    for seeds in ([0, 1], [0, 1], [0, 2])
  ]
  np.testing.assert_array_equal(runs[0], runs[1])
  np.testing.assert_array_equal(runs[0][0], runs[2][0])
  assert jnp.any(runs[0][1] != runs[2][1])


def test_at_temperature_zero_nothing_is_random(setup):
  _, _, params, batch, by_frame = setup
  head = dataclasses.replace(talkers.TINY.head, temperature=0.0)
  model, _ = talkers.talker(head=head)
  weights = streaming.prepare(params)
  one, other = (
    _run(model, weights, _open(model, weights, batch, seeds), by_frame)[1]
    for seeds in ([0, 1], [2, 3])
  )
  np.testing.assert_array_equal(one, other)


def test_guidance_one_is_no_guidance_and_two_is_not(setup):
  model, weights, _, batch, by_frame = setup
  state = _open(model, weights, batch, [0, 1])
  given = [{**s, "audio_given": jnp.ones(2, bool)} for s in by_frame[:3]]
  _, plain = _run(model, weights, state, given)
  _, one = _run(model, weights, state, given, audio_guidance_B=jnp.ones(2))
  _, two = _run(model, weights, state, given, audio_guidance_B=jnp.full(2, 2.0))
  np.testing.assert_allclose(one, plain, atol=1e-5)
  assert jnp.abs(two - plain).max() > 1e-3


def test_the_state_keeps_its_size(setup):
  model, weights, _, batch, by_frame = setup
  state = _open(model, weights, batch, [0, 1])
  young = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  old, _ = _run(model, weights, state, by_frame)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), old) == young
