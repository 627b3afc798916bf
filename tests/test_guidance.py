"""Guidance: one call against as many calls as there are branches."""

import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax.denoising.guidance import NO_GUIDANCE, Guidance, make_guidance
from eartalk_jax.errors import UserError
from eartalk_jax.models.signals import Signal, Signals

CFG = talkers.TINY


def _signals():
  pose = Signal(jnp.arange(6.0).reshape(2, 3), jnp.ones(2, bool))
  emotion = Signal(jnp.ones((2, 1)), jnp.array([True, False]))
  audio = Signal(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.ones(2, bool))
  return Signals(audio, {"pose": pose, "emotion": emotion})


def _network(signals):
  """Any function of what is given, [rows 1]."""
  audio = signals.audio
  heard = jnp.where(audio.given, audio.value.sum(-1), -1.0)
  out = heard**2
  for weight, name in enumerate(sorted(signals.controls), start=2):
    control = signals.controls[name]
    seen = jnp.where(control.given, control.value.sum(-1), 0.5)
    out = out + weight * seen * heard
  return out[:, None]


def _without(signals, name):
  hidden = Signal(signals[name].value, jnp.zeros(2, bool))
  if name == "audio":
    return Signals(hidden, signals.controls)
  return Signals(signals.audio, {**signals.controls, name: hidden})


def test_each_signal_has_a_scale_of_its_own_for_each_stream():
  signals = _signals()
  scales = {"pose": [1.5, 0.0], "audio": [2.0, 3.0]}
  guidance = make_guidance(CFG, scales, rows=2)
  got = guidance.combine(_network(guidance.branches(signals)))
  full = want = _network(signals)
  for name, scale_B in scales.items():
    apart = full - _network(_without(signals, name))
    want = want + (np.array(scale_B)[:, None] - 1) * apart
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_the_ramp_takes_a_share_of_the_excess():
  guidance = Guidance({"audio": jnp.array([3.0, 1.0])})
  out = jnp.array([[1.0], [2.0], [0.0], [0.0]])
  got = guidance.combine(out, ramp=0.25)
  np.testing.assert_allclose(got, [[1.5], [2.0]])


def test_rows_of_a_stream_lie_side_by_side():
  guidance = Guidance({"audio": jnp.array([2.0, 3.0])})
  full = jnp.arange(1.0, 7.0)[:, None]
  got = guidance.combine(jnp.concatenate([full, jnp.zeros((6, 1))]))
  np.testing.assert_allclose(got[:, 0], [2, 4, 6, 12, 15, 18])


def test_without_guidance_there_is_one_branch():
  out = _network(NO_GUIDANCE.branches(_signals()))
  np.testing.assert_array_equal(NO_GUIDANCE.combine(out), _network(_signals()))


@pytest.mark.parametrize(
  "scales, message",
  [
    ({"posse": 2.0}, "did you mean pose"),
    ({"audio": float("nan")}, "finite"),
    ({"audio": [1.0, float("inf")]}, "finite"),
    *[
      ({"audio": scale}, "audio = .*finite number from -100 to 100")
      for scale in (101, -1e30, 10**400, True)
    ],
    *[
      ({"audio": scale}, "one for each of 2 streams")
      for scale in ("2", None, [1, 2, 3], [[1, 2], [3]], [], np.ones((2, 1)))
    ],
    ({2: 1.0}, "unknown signal 2"),
    (["audio"], "give {signal: scale}"),
  ],
)
def test_what_cannot_be_guided_is_named(scales, message):
  with pytest.raises(UserError, match=message) as caught:
    make_guidance(CFG, scales, rows=2)
  assert len(str(caught.value).splitlines()) == 1
