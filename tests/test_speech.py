import tracemalloc
import wave

import av
import hostile
import numpy as np
import pytest

from data_pipelines import speech
from eartalk_jax.errors import UserError
from eartalk_jax.speech import features, open_speech


def write_wav(path, samples_S, rate=16_000, channels=1):
  with wave.open(str(path), "wb") as file:
    file.setnchannels(channels)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes((samples_S * 32767).astype("<i2").tobytes())
  return path


def noise(seconds, rate=16_000):
  rng = np.random.default_rng(0)
  return rng.uniform(-0.5, 0.5, round(seconds * rate))


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0, 1.234, 3.99])
def test_frames_are_25_for_every_second(tmp_path, seconds):
  path = write_wav(tmp_path / "a.wav", noise(seconds))
  frames = speech.count_frames(path)
  assert frames == round(seconds * 25)
  assert (
    sum(map(len, speech.stream_features(path, open_speech("mel")))) == frames
  )


def test_features_are_those_of_the_whole_sound(tmp_path):
  samples_S = noise(2.3)
  path = write_wav(tmp_path / "a.wav", samples_S)
  features_TAF = np.concatenate(
    list(speech.stream_features(path, open_speech("mel:40")))
  )
  expected_TAF = features(open_speech("mel:40"), samples_S)
  np.testing.assert_allclose(features_TAF, expected_TAF, atol=2e-2)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2)])
def test_any_rate_and_layout_becomes_mono_of_the_rate_asked_for(
  tmp_path, rate, channels
):
  tone_S = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
  both_S = np.repeat(tone_S, channels)
  path = write_wav(tmp_path / "a.wav", both_S, rate, channels)
  samples_S = np.concatenate(list(speech.stream_samples(path, 16_000)))
  assert len(samples_S) == pytest.approx(32_000, abs=2)
  expected_S = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
  middle = slice(1000, 31_000)
  np.testing.assert_allclose(samples_S[middle], expected_S[middle], atol=0.01)


def test_silence_is_speech_too(tmp_path):
  path = write_wav(tmp_path / "a.wav", np.zeros(16_000))
  features_TAF = np.concatenate(
    list(speech.stream_features(path, open_speech("mel")))
  )
  assert features_TAF.shape == (25, 4, 80)
  assert np.ptp(features_TAF) < 1e-6


def test_ten_minutes_take_no_more_memory_than_ten_seconds(tmp_path):
  path = write_wav(tmp_path / "a.wav", np.tile(noise(60), 10))
  tracemalloc.start()
  frames = sum(map(len, speech.stream_features(path, open_speech("mel"))))
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert frames == 15_000
  assert peak < 8e6


def test_nan_samples_are_refused(tmp_path):
  path = tmp_path / "a.wav"
  with av.open(str(path), "w") as file:
    stream = file.add_stream("pcm_f32le", rate=16_000, layout="mono")
    samples = np.zeros((1, 1600), np.float32)
    samples[0, 800] = np.nan
    frame = av.AudioFrame.from_ndarray(samples, "flt", "mono")
    frame.sample_rate = 16_000
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  with pytest.raises(UserError, match="NaN"):
    speech.count_frames(path)


def test_unusable_files_are_named(tmp_path):
  text = tmp_path / "a.txt"
  text.write_text("not a sound, only text")
  with pytest.raises(UserError, match=r"a\.txt cannot be decoded"):
    speech.count_frames(text)
  with pytest.raises(UserError, match="cannot be read.*No such file"):
    speech.count_frames(tmp_path / "none.wav")
  with pytest.raises(UserError, match="empty|no audio|less than"):
    speech.count_frames(write_wav(tmp_path / "b.wav", np.zeros(0)))
  with pytest.raises(UserError, match="less than one video frame"):
    speech.count_frames(write_wav(tmp_path / "c.wav", np.zeros(100)))
  silent = tmp_path / "d.mp4"
  with av.open(str(silent), "w") as file:
    stream = file.add_stream("libx264", rate=25)
    stream.width = stream.height = 64
    picture = np.zeros((64, 64, 3), np.uint8)
    file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    file.mux(stream.encode(None))
  with pytest.raises(UserError, match="no audio track"):
    speech.count_frames(silent)


def test_a_decoder_that_dies_is_an_error_that_names_the_file(
  tmp_path, monkeypatch
):
  path = write_wav(tmp_path / "a.wav", noise(0.1))
  monkeypatch.setattr(speech, "_decoded", hostile.die_of_samples)
  with pytest.raises(UserError, match="a.wav cannot be read: .*SIGSEGV"):
    speech.count_frames(path)
