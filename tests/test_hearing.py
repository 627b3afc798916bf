"""From speech to audio tokens."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax.models.hearing import Convolution, Hearing

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
