"""What the loss draws, what it refuses, what the diagnostics exchange."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax.recipes.ear import objective


def hidden(batch, key):
  """`_hidden` with a model that computes nothing."""
  model = types.SimpleNamespace(cfg=talkers.TINY, apply=lambda *a, **k: None)
  return objective._hidden(model, {}, batch, key)


def test_nothing_is_drawn_twice_from_one_key(monkeypatch):
  drawn = []
  for name in ("uniform", "normal", "bernoulli", "randint"):

    def draw(key, *args, real=getattr(jax.random, name), **kwargs):
      drawn.append(tuple(np.asarray(jax.random.key_data(key)).tolist()))
      return real(key, *args, **kwargs)

    monkeypatch.setattr(jax.random, name, draw)
  hidden(talkers.batch(), jax.random.key(0))
  assert len(drawn) == 4 and len(set(drawn)) == 4


def test_a_batch_has_the_sink_frames_that_the_model_has():
  batch = talkers.batch()
  two_BShwC = jnp.tile(batch["sink_BShwC"], (1, 2, 1, 1, 1))
  with pytest.raises(ValueError, match="2 sink frames in a batch, 1 in the"):
    hidden({**batch, "sink_BShwC": two_BShwC}, jax.random.key(0))


@pytest.mark.parametrize("name", ["audio", "pose", "emotion"])
def test_a_shuffled_signal_comes_with_where_it_is_given(name):
  batch = talkers.batch(rows=3)
  given_BT = jnp.asarray(np.random.default_rng(0).random((3, 11)) < 0.5)
  for each in ("audio", "pose", "emotion"):
    signal = batch["signals"][each].replace(given=given_BT)
    batch["signals"] = batch["signals"].put(each, signal)
  signals = batch["signals"]
  shuffled = objective._with_shuffled(batch, name)["signals"]
  for other in ("audio", "pose", "emotion"):
    for before, after in zip(
      *map(jax.tree.leaves, (signals[other], shuffled[other])), strict=True
    ):
      expected = jnp.roll(before, 1, axis=0) if other == name else before
      np.testing.assert_array_equal(after, expected)
