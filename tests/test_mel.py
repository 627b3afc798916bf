import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eartalk_jax.errors import UserError
from eartalk_jax.speech import mel as audio

SPEC = audio.AudioFeatures(bins=40)


def noise(samples, seed=0):
  rng = np.random.default_rng(seed)
  return (0.1 * rng.standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("bins", [40, 80])
def test_features_are_librosas_mel(bins):
  spec = audio.AudioFeatures(bins=bins)
  samples_S = noise(640 * 30) * np.linspace(0, 1, 640 * 30, dtype=np.float32)
  mel_FS = librosa.feature.melspectrogram(
    y=np.pad(samples_S, 120),
    sr=16_000,
    n_fft=400,
    hop_length=160,
    n_mels=bins,
    center=False,
  )
  want_SF = (np.log(np.maximum(mel_FS.T, 1e-5)) - audio.MEAN) / audio.SCALE
  got_TAF = audio.log_mel(samples_S, spec)
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
  stream = audio.MelStream(SPEC)
  pieces, start = [], 0
  for chunk in chunks:
    pieces.append(stream.push(samples_S[start : start + chunk]))
    start += chunk
  pieces.append(stream.flush())
  np.testing.assert_array_equal(
    np.concatenate(pieces), audio.log_mel(samples_S, SPEC)
  )


def test_one_frame_at_a_time_equals_ten_minutes_at_once():
  samples_S = noise(640 * 700 + 100)
  stream = audio.MelStream(SPEC)
  pieces = [
    stream.push(samples_S[i : i + 640]) for i in range(0, len(samples_S), 640)
  ]
  whole_TAF = audio.log_mel(samples_S, SPEC)
  assert len(whole_TAF) == 700
  np.testing.assert_array_equal(
    np.concatenate([*pieces, stream.flush()]), whole_TAF
  )


def test_a_frame_comes_as_soon_as_its_last_window_is_full():
  stream = audio.MelStream(SPEC)
  assert len(stream.push(noise(759))) == 0
  assert len(stream.push(noise(1))) == 1


def test_a_stream_can_be_used_again_after_flush():
  stream = audio.MelStream(SPEC)
  stream.push(noise(2000))
  stream.flush()
  again_TAF = np.concatenate([stream.push(noise(5000)), stream.flush()])
  np.testing.assert_array_equal(again_TAF, audio.log_mel(noise(5000), SPEC))


@pytest.mark.parametrize("samples", [0, 1, 300, 1600, 16_000, 16_100, 16_500])
def test_frame_count_is_the_rounded_duration(samples):
  mel_TAF = audio.log_mel(noise(samples), SPEC)
  assert mel_TAF.shape == (round(samples / 16_000 * 25), 4, 40)


def test_silence_is_the_declared_constant():
  assert np.all(audio.log_mel(np.zeros(6400), SPEC) == audio.SILENCE)


def test_int16_and_float_samples_agree():
  samples_S = (noise(6400) * 32767).astype(np.int16)
  np.testing.assert_array_equal(
    audio.log_mel(samples_S, SPEC),
    audio.log_mel(samples_S.astype(np.float32) / 32768, SPEC),
  )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(bad):
  samples_S = noise(6400)
  samples_S[77] = bad
  with pytest.raises(UserError, match="NaN"):
    audio.log_mel(samples_S, SPEC)


def test_context_joins_neighbours_and_silence():
  mel_TAF = np.arange(3 * 4 * 2, dtype=np.float32).reshape(3, 4, 2)
  context_TF = audio.frame_context(mel_TAF, past=1, ahead=2)
  assert context_TF.shape == (3, 4 * 4 * 2)
  context_TPAF = context_TF.reshape(3, 4, 4, 2)
  np.testing.assert_array_equal(context_TPAF[:, 1], mel_TAF)
  np.testing.assert_array_equal(context_TPAF[0, 2:], mel_TAF[1:])
  assert np.all(context_TPAF[0, 0] == audio.SILENCE)
  assert np.all(context_TPAF[2, 2:] == audio.SILENCE)


def test_a_change_of_the_samples_moves_only_the_frames_it_touches():
  samples_S = noise(640 * 20)
  changed_S = samples_S.copy()
  changed_S[640 * 10 + 300] += 0.5
  before_TAF = audio.log_mel(samples_S, SPEC)
  after_TAF = audio.log_mel(changed_S, SPEC)
  assert list(np.flatnonzero((before_TAF != after_TAF).any((1, 2)))) == [10]
