"""A video tokenizer from elsewhere: stride 4, a decoder with state and delay.

Nothing outside of this file knows it, and the whole road is walked with it.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np
from road import DARK, LIGHT, Road, beeps

from eartalk_jax import tokenizers
from eartalk_jax.speech import open_speech
from eartalk_jax.tokenizers.coding import decode, encode, round_trip

SIZE, S = 16, 4


class Four:
  """Brightness of 4 x 4 tiles; a latent's channels are its frames'."""

  config, fingerprint = {"size": SIZE}, "that of four"
  params = {"gain": np.array(1, np.float32)}
  kind, stride, delay = "four", S, 1
  picture_shape, latent_shape = (SIZE, SIZE), (4, 4, S)
  mean_C, std_C = np.full(S, 0.5, np.float32), np.full(S, 0.25, np.float32)

  def arrays(self):
    return dict(self.params)

  def encode_portrait(self, params, picture_BYX3):
    return self._latent(params, jnp.repeat(picture_BYX3[:, None], S, axis=1))

  def init_encode(self, params, portrait_BYX3):
    return (), self.encode_portrait(params, portrait_BYX3)

  def encode_step(self, params, state, frames_BsYX3):
    return state, self._latent(params, frames_BsYX3)

  def _latent(self, params, frames_BsYX3):
    b, s, y, x, _ = frames_BsYX3.shape
    tiles = frames_BsYX3.reshape(b, s, 4, y // 4, 4, x // 4, 3)
    grey = tiles.mean((3, 5, 6)) * params["gain"]
    return (jnp.moveaxis(grey, 1, -1) - 0.5) / 0.25

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    return portrait_BhwC

  def decode_step(self, params, state, latent_BhwC):
    grey = jnp.moveaxis(state * 0.25 + 0.5, -1, 1)
    grey = jnp.repeat(jnp.repeat(grey, SIZE // 4, 2), SIZE // 4, 3)
    return latent_BhwC, jnp.clip(jnp.stack([grey] * 3, -1), 0, 1)


def clip(frames):
  """Grey pictures that tell their frame."""
  grey_T = (np.arange(frames) * 2 % 256).astype(np.uint8)
  return np.broadcast_to(grey_T[:, None, None, None], (frames, SIZE, SIZE, 3))


def test_clips_come_back_frame_by_frame():
  frames_1TYX3 = clip(1 + 25 * S)[None]
  latents_1thwC = encode(Four(), frames_1TYX3)
  assert latents_1thwC.shape == (1, 26, 4, 4, S)
  back_1TYX3 = decode(Four(), frames_1TYX3[:, 0], latents_1thwC)
  np.testing.assert_array_equal(back_1TYX3, frames_1TYX3)
  assert round_trip(Four(), clip(31)[None]).shape[1] == 31


def test_the_whole_road(tmp_path, monkeypatch):
  kind = types.SimpleNamespace(load=lambda config, arrays: Four())
  monkeypatch.setitem(tokenizers.KINDS, "four", kind)
  road = Road(tmp_path, Four(), open_speech("mel:8"))
  once, again = road.train(60, name="once"), road.train(30, 60)
  jax.tree.map(np.testing.assert_array_equal, once, again)
  road.train(300)
  samples_S, beeping_T = beeps(1 + 25 * S, seed=99)
  film_T = road.film(samples_S)
  assert len(film_T) == 101
  # What is heard is seen, in its frame and in no other.
  light_T = film_T > (DARK + LIGHT) / 2
  assert (light_T == beeping_T)[1:].mean() > 0.95
  for late in (-1, 1):
    assert (np.roll(light_T, late) == beeping_T).mean() < 0.9
  stream_T = road.stream(samples_S, cut=40_000)
  assert np.abs(stream_T - film_T).max() < 6  # what the codec does
  figures = road.evaluate()
  assert figures["frames"] == 75 and figures["tokenizer_psnr_db"] > 40
