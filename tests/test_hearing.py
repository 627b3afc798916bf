"""From speech to audio tokens."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax.models.hearing import Convolution, Hearing, Mix

CFG = talkers.TINY
STEPS = (CFG.audio.past + 1 + CFG.audio.ahead) * CFG.audio.steps
FEATURES = STEPS * CFG.audio.bins


@pytest.fixture(scope="module")
def hear():
  model = Hearing(CFG)
  audio = jnp.zeros((1, FEATURES))
  params = model.init(jax.random.key(0), audio)
  return lambda audio: model.apply(params, audio)


def _speech(*shape):
  return jax.random.normal(jax.random.key(1), (*shape, FEATURES))


def test_every_step_reaches_every_token(hear):
  speech_BF = _speech(1)
  grad_MDBF = jax.jacobian(lambda x: hear(x)[0])(speech_BF)
  reach_MAF = jnp.abs(grad_MDBF).sum((1, 2))
  reach_MAF = reach_MAF.reshape(CFG.audio.tokens, STEPS, CFG.audio.bins)
  assert jnp.all(reach_MAF > 0)


def test_loud_or_soft_is_the_same(hear):
  # A gain is a constant in log-mel.
  soft_BMD, loud_BMD = hear(_speech(3)), hear(_speech(3) + 0.7)
  np.testing.assert_allclose(soft_BMD, loud_BMD, atol=1e-5)
  assert np.abs(soft_BMD[0] - soft_BMD[1]).max() > 0.01


def test_nearly_silent_noise_is_nearly_silence(hear):
  silence = jnp.full((1, FEATURES), -1.6)
  noise = silence + 0.001 * _speech(1)
  np.testing.assert_allclose(hear(noise), hear(silence), atol=0.02)


def test_frames_are_heard_one_by_one(hear):
  speech = _speech(2, 3)
  apart = jnp.stack([hear(row) for row in speech])
  np.testing.assert_allclose(hear(speech), apart, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7, 12])
def test_the_convolution_is_flax_s_own_and_so_are_its_gradients(steps):
  x = jax.random.normal(jax.random.key(0), (2, 3, steps, 5))
  ours = Convolution(4, "float32")
  params = ours.init(jax.random.key(1), x)
  params["params"]["bias"] = jnp.arange(4.0)
  theirs = nn.Conv(4, (3,), strides=2)

  def both(model):
    out, pulled = jax.vjp(model.apply, params, x)
    return out, pulled(jnp.sin(out))

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    both(ours),
    both(theirs),
  )


def mixing(states, past=0):
  """(Hearing, params) of two vectors a frame, each of 6 numbers a state."""
  audio = dataclasses.replace(
    CFG.audio, past=past, ahead=0, steps=2, bins=6 * states, states=states
  )
  model = Hearing(dataclasses.replace(CFG, audio=audio))
  zeros = jnp.zeros((1, (past + 1) * 2 * 6 * states))
  params = model.init(jax.random.key(0), zeros)["params"]
  return model, jax.tree.map(lambda leaf: leaf + 0.1, params)


@pytest.mark.parametrize("past", [0, 3])
def test_hidden_states_are_levelled_and_mixed_as_weights_say(past):
  alone, params = mixing(1, past)
  several, more = mixing(3, past)
  assert set(more) - set(params) == {"mixing"}
  rng = np.random.default_rng(0)
  x_BAKW = rng.normal(size=(2, (past + 1) * 2, 3, 6)).astype(np.float32)
  flat = x_BAKW.reshape(2, -1)

  def mixed(weights, heard=flat):
    own = {"mixing": {"states": jnp.asarray(weights, jnp.float32)}}
    return several.apply({"params": params | own}, heard)

  # One of them alone is what a model of one state hears.
  for index in range(3):
    weights = np.where(np.arange(3) == index, 100, 0)
    only = x_BAKW[:, :, index].reshape(2, -1)
    np.testing.assert_allclose(
      mixed(weights), alone.apply({"params": params}, only), atol=1e-5
    )
  # States differ in scale, which is not what is mixed.
  louder = x_BAKW * np.float32([1, 30, 200])[:, None] + 5
  np.testing.assert_allclose(
    mixed([0, 1, 2], louder.reshape(2, -1)), mixed([0, 1, 2]), 0.03, 0.01
  )
  level = x_BAKW - x_BAKW.mean((1, 3), keepdims=True)
  level /= np.sqrt(np.square(level).mean((1, 3), keepdims=True) + 0.01)
  want = (np.float32([0.2, 0.5, 0.3])[:, None] * level).sum(2)
  logs = jnp.log(jnp.array([2.0, 5.0, 3.0]))
  got = Mix(3, 18).apply({"params": {"states": logs}}, flat)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_states_are_equal_to_begin_with_and_learned():
  model, params = mixing(3)
  x = jax.random.normal(jax.random.key(3), (2, 2 * 18))
  grad = jax.grad(lambda p: jnp.square(model.apply({"params": p}, x)).sum())
  assert np.ptp(params["mixing"]["states"]) == 0
  assert jnp.abs(grad(params)["mixing"]["states"]).min() > 0


def test_states_divide_the_numbers_of_a_vector():
  with pytest.raises(ValueError, match="bins 80 is not a multiple of 3 states"):
    dataclasses.replace(CFG.audio, bins=80, states=3)
