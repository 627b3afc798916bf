"""Streaming: equal to the whole pass, in any chunks, row by row."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax.denoising.guidance import make_guidance
from eartalk_jax.layers.patches import to_tokens
from eartalk_jax.models.signals import Signal
from eartalk_jax.models.talker import opening
from eartalk_jax.recipes.ear import stream as streaming

T = 11
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=["flow", "masked, noise"], scope="module")
def setup(request):
  model, params = talkers.talker(head=talkers.HEADS[request.param])
  batch = talkers.batch(frames=T)
  by_frame = [batch["signals"].at(slice(i, i + 1)) for i in range(T)]
  return model, streaming.prepare(params), batch, by_frame


def _open(model, weights, batch, seeds):
  keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
  sink_BShwC, portrait = batch["sink_BShwC"], batch["portrait"]
  return streaming.open(model, weights, sink_BShwC, keys, portrait)


def _run(model, weights, state, frames, **options):
  step = jax.jit(functools.partial(streaming.step, model, **options))
  out = []
  for signals in frames:
    state, latent = step(weights, state, signals)
    out.append(latent)
  return state, jnp.stack(out, axis=1)


VARIANTS = {
  "plain": {},
  "cyclic": {"positions": "cyclic"},
  "two sinks": {"sinks": 2},
  "cyclic, two sinks": {"positions": "cyclic", "sinks": 2},
  "no sink": {"without": ("sink",)},
  "stride 4": {"stride": 4},
  "no anchor, no direct path": {"without": ("anchor", "direct")},
}


@pytest.mark.parametrize(
  "variant",
  [
    "plain",
    "cyclic, two sinks",
    "no sink",
    "stride 4",
    *(
      pytest.param(variant, marks=pytest.mark.proof)
      for variant in ("cyclic", "two sinks", "no anchor, no direct path")
    ),
  ],
)
def test_streaming_equals_the_teacher_forced_pass_through_three_wraps(variant):
  model, params = talkers.talker(**VARIANTS[variant])
  cfg, weights = model.cfg, streaming.prepare(params)
  assert 3 * cfg.window < T
  batch = talkers.batch(cfg, frames=T)
  signals = batch["signals"]
  tokens_BTNc = to_tokens(batch["latents_BThwC"], cfg.patch)
  state = _open(model, weights, batch, [0, 1])
  previous_BTNc = jnp.concatenate(
    [state.previous_BNc[:, None], tokens_BTNc[:, :-1]], axis=1
  )
  _, sink_BSNc = opening(cfg, to_tokens(batch["sink_BShwC"], cfg.patch))
  whole_BTND, guesses_BTNc = jax.jit(
    functools.partial(model.apply, method="hidden")
  )(
    {"params": params},
    previous_BTNc,
    jnp.full(tokens_BTNc.shape[:2], cfg.history.sampling_level),
    sink_BSNc,
    batch["portrait"],
    signals,
    jnp.zeros(2, int),
  )
  hidden = jax.jit(functools.partial(streaming.hidden, model))
  for i in range(T):
    now = signals.at(i)
    state = state.replace(previous_BNc=previous_BTNc[:, i])
    (h_BND, guess_BNc), caches = hidden(weights, state, now)
    np.testing.assert_allclose(h_BND, whole_BTND[:, i], atol=1e-5)
    np.testing.assert_allclose(guess_BNc, guesses_BTNc[:, i], atol=1e-5)
    state = state.replace(caches=caches, count_B=state.count_B + 1)


def test_a_control_changed_at_a_frame_changes_nothing_before_it(setup):
  model, weights, batch, by_frame = setup
  changed = list(by_frame)
  pose = Signal(jnp.full((2, 1, 3), 2.0), jnp.ones((2, 1), bool))
  changed[5] = changed[5].put("pose", pose)
  state = _open(model, weights, batch, [0, 1])
  _, before = _run(model, weights, state, by_frame)
  _, after = _run(model, weights, state, changed)
  np.testing.assert_array_equal(before[:, :5], after[:, :5])
  assert jnp.any(before[:, 5] != after[:, 5])


def test_no_sampled_frame_knows_what_comes_later(setup):
  model, weights, batch, by_frame = setup
  frame, frames = 1, 3

  def sampled(signals):
    state = _open(model, weights, batch, [0, 1])
    for index in range(frames):
      state, latent = streaming.step(model, weights, state, signals[index])
      if index == frame:
        out = latent.sum()
    return out

  grads = jax.jit(jax.grad(sampled, allow_int=True))(by_frame[:frames])
  for name in ("audio", "pose"):
    at = [g[name].value for g in grads]
    assert jnp.any(at[frame] != 0)
    assert not jnp.any(at[frame + 1] != 0)


def test_rows_of_different_ages_are_independent_streams(setup):
  model, weights, batch, by_frame = setup
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
  # One row is summed in another order than two, and terms are as large as the
  # largest number, however small their sum is.
  bound = 1e-6 * jnp.abs(together).max()
  np.testing.assert_allclose(mixed_out[0], together[0, 3:6], 1e-5, bound)
  np.testing.assert_allclose(mixed_out[1], together[1, :3], 1e-5, bound)


def test_the_seed_decides_the_frames(setup):
  model, weights, batch, by_frame = setup
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


def test_at_temperature_zero_nothing_is_random():
  head = dataclasses.replace(talkers.TINY.head, temperature=0.0)
  model, params = talkers.talker(head=head)
  weights = streaming.prepare(params)
  batch = talkers.batch(frames=2)
  by_frame = [batch["signals"].at(slice(i, i + 1)) for i in range(2)]
  one, other = (
    _run(model, weights, _open(model, weights, batch, seeds), by_frame)[1]
    for seeds in ([0, 1], [2, 3])
  )
  np.testing.assert_array_equal(one, other)


def test_guidance_one_is_no_guidance_and_two_is_not(setup):
  model, weights, batch, by_frame = setup
  state = _open(model, weights, batch, [0, 1])
  heard = jnp.ones((2, 1), bool)
  given = [s.put("audio", s.audio.replace(given=heard)) for s in by_frame[:3]]
  _, plain = _run(model, weights, state, given)

  def guided(**scales):
    guidance = make_guidance(model.cfg, scales, rows=2)
    return _run(model, weights, state, given, guidance=guidance)[1]

  same = {"rtol": 1e-6, "atol": 1e-5}
  np.testing.assert_allclose(guided(audio=1, pose=1), plain, **same)
  assert jnp.abs(guided(audio=2) - plain).max() > 1e-3
  # One stream's scale is nothing to the other.
  mixed = guided(audio=[1, 2])
  np.testing.assert_allclose(mixed[0], plain[0], **same)
  assert jnp.abs(mixed[1] - plain[1]).max() > 1e-3


def test_the_state_keeps_its_size(setup):
  model, weights, batch, by_frame = setup
  state = _open(model, weights, batch, [0, 1])
  young = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  old, _ = _run(model, weights, state, by_frame)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), old) == young
