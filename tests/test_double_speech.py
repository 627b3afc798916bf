"""A speech encoder from elsewhere: 50 vectors a second, 200 ms of look-ahead.

Nothing outside of this file knows it, and the whole road is walked with it.
"""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import pytest
from road import Road, beeps, patches

from eartalk_jax import speech
from eartalk_jax.config import from_config
from eartalk_jax.spans import FRAME_SAMPLES
from eartalk_jax.speech import features
from eartalk_jax.speech.listening import Listener
from eartalk_jax.streaming import Streams
from eartalk_jax.tokenizers.hashing import fingerprint_of

HALF = FRAME_SAMPLES // 2


@dataclasses.dataclass(frozen=True)
class Config:
  gain: float = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Loudness:
  """How loud 20 ms are, and how loud the 200 ms after the frame will be."""

  config: Config = Config()
  params = {"scale": np.array(1, np.float32)}
  kind, shape, before, after, step = "loud", (2, 2), 0, 3200, 4

  silence_AF = np.zeros((2, 2), np.float32)

  @property
  def fingerprint(self):
    return fingerprint_of(self.config, self.params)

  def apply(self, params, samples_BS):
    loud_BS = jnp.abs(samples_BS) * self.config.gain * params["scale"]
    b, frames = len(samples_BS), (samples_BS.shape[1] - 3200) // FRAME_SAMPLES
    now = loud_BS[:, : frames * FRAME_SAMPLES].reshape(b, frames, 2, HALF)
    soon = jnp.stack(
      [
        loud_BS[:, (t + 1) * FRAME_SAMPLES :][:, :3200].mean(1)
        for t in range(frames)
      ],
      axis=1,
    )
    soon_Bt2 = jnp.repeat(soon[..., None], 2, axis=-1)
    return jnp.stack([now.mean(-1), soon_Bt2], axis=-1)


@pytest.fixture(scope="module", autouse=True)
def known():
  def load(config, arrays):
    assert set(arrays) == {"scale"}
    return Loudness(from_config(Config, config))

  with pytest.MonkeyPatch.context() as patch:
    kind = types.SimpleNamespace(load=load)
    patch.setitem(speech.KINDS, "loud", kind)
    yield


@pytest.mark.parametrize("cuts", [[100], [640] * 9, [5000, 1, 4000]])
def test_pieces_make_the_features_of_the_whole(cuts):
  samples_S, _ = beeps(13, seed=0)
  whole_TAF = features(Loudness(), samples_S)
  assert whole_TAF.shape == (13, 2, 2)
  listener = Listener(Loudness())
  pieces = [listener.push(p) for p in np.split(samples_S, np.cumsum(cuts))]
  np.testing.assert_array_equal(
    np.concatenate([*pieces, listener.finish()]), whole_TAF
  )
  # Frame 8 begins the third window, which waits for 200 ms after frame 11.
  first = Listener(Loudness())
  needed = 12 * FRAME_SAMPLES + 3200
  assert len(first.push(np.zeros(needed - 1, np.int16))) == 8
  assert len(first.push(np.zeros(1, np.int16))) == 4


def test_the_whole_road(tmp_path):
  road = Road(tmp_path, patches(), Loudness())
  road.train(4, 8)
  samples_S, _ = beeps(30, seed=99)
  film_T = road.film(samples_S)
  assert len(film_T) == 30
  stream_T = road.stream(samples_S, cut=9_000)
  assert np.abs(stream_T - film_T).max() < 6  # what the codec does
  # The stated latency is that of the encoder: its window and what it awaits.
  streams = Streams(road.generator())
  assert streams.look_ahead_seconds == pytest.approx(0.2 + 3 / 25)
  assert road.evaluate()["frames"] == 75
