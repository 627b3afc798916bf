import json

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eartalk_jax.errors import UserError
from eartalk_jax.spans import first_made, frames_of, latents_of, latents_over
from eartalk_jax.speech import (
  check,
  features,
  load_speech,
  mel,
  open_speech,
  save_speech,
)
from eartalk_jax.speech.contexts import Heard, Reach
from eartalk_jax.speech.listening import Listener

MEL = open_speech("mel:40")


def noise(samples, seed=0):
  rng = np.random.default_rng(seed)
  return (0.1 * rng.standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("bins", [40, 80])
def test_features_are_librosas_mel(bins):
  samples_S = noise(640 * 30) * np.linspace(0, 1, 640 * 30, dtype=np.float32)
  mel_FS = librosa.feature.melspectrogram(
    y=np.pad(samples_S, 120),
    sr=16_000,
    n_fft=400,
    hop_length=160,
    n_mels=bins,
    center=False,
  )
  want_SF = (np.log(np.maximum(mel_FS.T, 1e-5)) - mel.MEAN) / mel.SCALE
  got_TAF = features(open_speech(f"mel:{bins}"), samples_S)
  assert got_TAF.shape == (30, 4, bins)
  assert got_TAF.dtype == np.float32
  np.testing.assert_allclose(got_TAF.reshape(-1, bins), want_SF, atol=5e-6)


@settings(max_examples=30, deadline=None)
@given(
  st.lists(st.integers(0, 3000), min_size=1, max_size=12),
  st.integers(0, 2**32 - 1),
)
def test_any_chunking_gives_the_same_bits(chunks, seed):
  samples_S = noise(sum(chunks), seed)
  stream = Listener(MEL)
  pieces, start = [], 0
  for chunk in chunks:
    pieces.append(stream.push(samples_S[start : start + chunk]))
    start += chunk
  pieces.append(stream.finish())
  np.testing.assert_array_equal(
    np.concatenate(pieces), features(MEL, samples_S)
  )


def test_one_frame_at_a_time_equals_ten_minutes_at_once():
  samples_S = noise(640 * 700 + 100)
  stream = Listener(MEL)
  pieces = [
    stream.push(samples_S[i : i + 640]) for i in range(0, len(samples_S), 640)
  ]
  whole_TAF = features(MEL, samples_S)
  assert len(whole_TAF) == 700
  np.testing.assert_array_equal(
    np.concatenate([*pieces, stream.finish()]), whole_TAF
  )


def test_a_frame_comes_as_soon_as_its_last_window_is_full():
  stream = Listener(MEL)
  assert len(stream.push(noise(759))) == 0
  assert len(stream.push(noise(1))) == 1


def test_after_the_end_nothing_more_is_heard():
  stream = Listener(MEL)
  stream.push(noise(2000))
  assert len(stream.finish()) == 1 and len(stream.finish()) == 0
  with pytest.raises(UserError, match="no speech can follow"):
    stream.push(noise(1))


@pytest.mark.parametrize("samples", [0, 1, 300, 1600, 16_000, 16_100, 16_500])
def test_frame_count_is_the_rounded_duration(samples):
  mel_TAF = features(MEL, noise(samples))
  assert mel_TAF.shape == (round(samples / 16_000 * 25), 4, 40)


def test_silence_is_the_declared_constant():
  assert np.all(features(MEL, np.zeros(6400)) == mel.SILENCE)


def test_int16_and_float_samples_agree():
  samples_S = (noise(6400) * 32767).astype(np.int16)
  np.testing.assert_array_equal(
    features(MEL, samples_S),
    features(MEL, samples_S.astype(np.float32) / 32768),
  )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(bad):
  samples_S = noise(6400)
  samples_S[77] = bad
  with pytest.raises(UserError, match="NaN"):
    features(MEL, samples_S)


@pytest.mark.parametrize("stride", [1, 4])
def test_a_latent_hears_its_frames_their_neighbours_and_silence(stride):
  frames, past, ahead = 9, 1, 2
  features_TAF = np.arange(1, frames + 1, dtype=np.float32)[:, None, None]
  reach = Reach(past, ahead, stride, np.zeros((1, 1), np.float32))
  latents = range(latents_of(frames, stride))
  heard_TP = reach.contexts(features_TAF, latents)
  assert heard_TP.shape == (len(latents), past + stride + ahead)
  for latent in latents:
    own = np.arange(frames)[frames_of(latent, stride)]
    assert set(own + 1) <= set(heard_TP[latent])
    around = np.arange(own[-1] - stride + 1 - past, own[-1] + ahead + 1)
    inside = (around >= 0) & (around < frames)
    np.testing.assert_array_equal(
      heard_TP[latent], np.where(inside, around + 1, 0)
    )


@pytest.mark.parametrize("stride", [1, 3])
def test_contexts_of_pieces_are_those_of_the_whole(stride):
  rng = np.random.default_rng(0)
  features_TAF = rng.normal(size=(23, 4, 2)).astype(np.float32)
  silence_AF = np.full((4, 2), -1, np.float32)
  for past, ahead in ((2, 1), (0, 0), (5, 4)):
    reach = Reach(past, ahead, stride, silence_AF)
    first = first_made(stride)
    count = latents_over(23, stride) - first
    want = reach.contexts(features_TAF, range(first, first + count))
    heard, got = Heard(reach), []
    for piece in np.split(features_TAF, [3, 4, 11, 12]):
      heard.push(piece)
      while heard.ready:
        later = Heard(reach)
        later.load(heard.save())
        got.append(later.at(0))
        heard.advance()
    # Nothing is told before its look-ahead is known.
    assert len(got) <= max((23 - ahead - 1) // stride + 1 - first, 0)
    heard.finish(count)
    while heard.ready:
      got.append(heard.at(0))
      heard.advance()
    np.testing.assert_array_equal(np.concatenate(got), want)


def test_a_change_of_the_samples_moves_only_the_frames_it_touches():
  samples_S = noise(640 * 20)
  changed_S = samples_S.copy()
  changed_S[640 * 10 + 300] += 0.5
  before_TAF = features(MEL, samples_S)
  after_TAF = features(MEL, changed_S)
  assert list(np.flatnonzero((before_TAF != after_TAF).any((1, 2)))) == [10]


def test_an_encoder_comes_back_from_its_folder(tmp_path):
  save_speech(tmp_path, MEL)
  assert load_speech(tmp_path).fingerprint == MEL.fingerprint
  path = tmp_path / "speech.json"
  said = json.loads(path.read_text())
  for odd, message in (
    ({"kind": "mell"}, "unknown kind 'mell'; did you mean mel"),
    ({"config": {"bins": 0}}, "is damaged"),
    ({"config": {"bins": 41}}, "is damaged .it is not the one"),
  ):
    path.write_text(json.dumps(said | odd))
    with pytest.raises(UserError, match=message):
      load_speech(tmp_path)
  with pytest.raises(UserError, match="no speech.json.*mel:BINS"):
    open_speech(tmp_path / "nothing")
  with pytest.raises(UserError, match="mel:many: give a number of mel bins"):
    open_speech("mel:many")


@pytest.mark.parametrize("odd", [{"shape": (4, 41)}, {"after": 900}])
def test_an_encoder_that_does_not_do_what_it_declares_is_refused(odd):
  with pytest.raises(UserError, match="declares features of .* and makes"):
    check(type("Odd", (mel.Mel,), odd)())
