"""Sound as it is read for datasets and for videos: the same, true to time."""

import av
import clips
import numpy as np
import pytest
import soxr

from data_pipelines import media, speech
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError

STILL = np.full((48, 48, 3), 90, np.uint8)


def write(path, audio_CS, seconds=1.0, **fields):
  """A still picture with that sound."""
  times = np.arange(round(seconds * 5)) / 5
  fields = {"audio_codec": "pcm_s16le"} | fields
  clip = clips.Clip([STILL] * len(times), times, audio_CS, **fields)
  return clips.write(path, clip)


def sampled(path, rate=16_000):
  return np.concatenate(list(speech.stream_samples(path, rate)))


def level(samples):
  return 10 * np.log10(np.var(np.asarray(samples, float) / 1.0))


def levels(path):
  """In dB, as prepare and as sample hear it."""
  return level(media.read_sound(path).samples_S / 32768), level(sampled(path))


def alone(where, channels, voice_S):
  audio_CS = np.zeros((channels, len(voice_S)), np.float32)
  audio_CS[where] = voice_S
  return audio_CS


VOICE = clips.bursts(2.0)


@pytest.mark.parametrize(
  ("layout", "where", "loss"),
  [
    ("5.1", 2, 8),
    ("7.1", 2, 8),
    ("3.0", 2, 6),
    ("stereo", 0, 6),
    ("stereo", 1, 6),
    ("5.1", 0, 0),  # too little of it would be left in a mix
    ("7.1", 6, 0),
    ("quad", 3, 0),
    ("hexadecagonal", 9, 0),
  ],
)
def test_a_voice_in_one_channel_is_there(tmp_path, layout, where, loss):
  channels = av.AudioLayout(layout).nb_channels
  audio_CS = alone(where, channels, VOICE)
  path = write(tmp_path / "a.mov", audio_CS, layout=layout)
  np.testing.assert_allclose(levels(path), level(VOICE) - loss, atol=0.3)


def test_a_voice_in_a_channel_without_a_name_is_there(tmp_path):
  path = tmp_path / "a.wav"
  write_float_wav(path, alone(3, 6, VOICE))
  assert level(sampled(path)) == pytest.approx(level(VOICE), abs=0.3)


@pytest.mark.parametrize(
  "other", [-VOICE, -0.8 * VOICE, np.r_[VOICE[:16_000], -VOICE[16_000:]]]
)
def test_a_voice_in_opposite_phases_is_there(tmp_path, other):
  path = write(tmp_path / "a.mov", np.stack([VOICE, other]))
  np.testing.assert_allclose(levels(path), level(VOICE), atol=0.3)


def test_rumble_and_an_offset_are_no_voice(tmp_path):
  audio_CS = alone(2, 6, VOICE)
  audio_CS[3] = 0.9 * np.sin(np.arange(len(VOICE)) / 100)
  audio_CS[4] = 0.5
  path = write(tmp_path / "a.mov", audio_CS, layout="5.1")
  np.testing.assert_allclose(levels(path), level(VOICE) - 8, atol=0.3)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1(side)", "7.1"])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_the_same_in_all_channels_keeps_its_level(tmp_path, layout, codec):
  channels = av.AudioLayout(layout).nb_channels
  audio_CS = np.repeat(VOICE[None], channels, axis=0)
  ending = {"aac": "mp4", "pcm_s16le": "mov"}[codec]
  path = write(
    tmp_path / f"a.{ending}", audio_CS, layout=layout, audio_codec=codec
  )
  np.testing.assert_allclose(levels(path), level(VOICE), atol=0.3)
  assert np.abs(clips.burst_errors(sampled(path))).max() < 1e-3


def write_float_wav(path, audio_CS, rate=16_000):
  """32-bit floats, channels without names; the rate may be any number."""
  channels = len(audio_CS)
  data = audio_CS.T.astype("<f4").tobytes()
  sizes = np.array([16, 3 + (channels << 16), rate, rate * 4 * channels], "<u4")
  kind = np.array([4 * channels, 32], "<u2").tobytes()
  body = b"WAVEfmt " + sizes.tobytes() + kind
  body += b"data" + np.array(len(data), "<u4").tobytes() + data
  path.write_bytes(b"RIFF" + np.array(len(body), "<u4").tobytes() + body)
  return path


def test_eight_channels_without_names_are_read(tmp_path):
  audio_CS = np.repeat(clips.bursts(0.25)[None], 8, axis=0)
  path = write_float_wav(tmp_path / "a.wav", audio_CS)
  assert speech.count_frames(path) == 6
  np.testing.assert_allclose(sampled(path), audio_CS[0], atol=1e-6)


def test_the_default_track_is_heard_not_the_first(tmp_path):
  path = tmp_path / "a.mkv"
  with av.open(str(path), "w") as file:
    video = file.add_stream("libx264", rate=25)
    video.width, video.height = STILL.shape[:2]
    tracks = [file.add_stream("pcm_s16le", rate=16_000) for _ in range(2)]
    for track, disposition in zip(tracks, (0, 1), strict=True):
      track.layout = "mono"
      track.disposition = av.stream.Disposition(disposition)
    file.mux(video.encode(av.VideoFrame.from_ndarray(STILL)))
    file.mux(video.encode(None))
    for track, loudness in zip(tracks, (0.1, 1.0), strict=True):
      packed = np.round(loudness * VOICE[None] * 32767).astype(np.int16)
      frame = av.AudioFrame.from_ndarray(packed, "s16", "mono")
      frame.sample_rate, frame.pts = 16_000, 0
      file.mux(track.encode(frame))
      file.mux(track.encode(None))
  np.testing.assert_allclose(levels(path), level(VOICE), atol=0.1)


STAMPS = {
  "a hole of 43 ms": {"lost": (40, 41), "block": 512, "sample_rate": 24_000},
  "holes of 21 ms": {"lost": (30, 60, 90), "block": 512, "sample_rate": 24_000},
  "many small holes": {"lost": range(5, 370, 7), "block": 256},
  "holes of 9 ms": {"lost": (50, 200, 300, 301), "block": 144},
  "a slow clock": {"pace": 1.007},
  "a fast clock": {"pace": 0.993},
  "a very slow clock": {"pace": 1.04},
  "a clock that cannot be": {"pace": 0.85},
  "a fast clock with holes": {
    "pace": 0.993,
    "lost": (50, 51, 90),
    "block": 512,
  },
}


@pytest.mark.parametrize("case", STAMPS)
def test_sound_follows_its_stamps_from_first_to_last(tmp_path, case):
  start = 0.25
  fields = {"sample_rate": 16_000} | STAMPS[case]
  rate, pace = fields["sample_rate"], fields.get("pace", 1)
  audio_CS = clips.bursts(6.0, rate, pace)[None]
  path = write(
    tmp_path / "a.mkv", audio_CS, seconds=6.0, audio_start=start, **fields
  )
  sound = media.read_sound(path)
  errors = clips.burst_errors(sound.samples_S, sound.start - start)
  assert len(errors) >= 8
  assert np.abs(errors).max() < 0.018
  heard = clips.burst_errors(sampled(path))
  assert np.abs(heard).max() < 0.018
  # The film's own sound track, at another rate, keeps step.
  track = sampled(path, 48_000)
  assert abs(len(track) / 3 - len(sampled(path))) < 16


@pytest.mark.parametrize(
  ("ending", "codec", "rate"),
  [
    ("mp4", "aac", 44_100),
    ("mkv", "aac", 48_000),
    ("mkv", "libmp3lame", 44_100),
    ("mov", "pcm_s16le", 48_000),
    ("mkv", "libopus", 48_000),
  ],
)
def test_stamps_that_are_only_rounded_change_not_one_bit(
  tmp_path, ending, codec, rate
):
  audio_CS = np.stack([clips.bursts(2.0, rate)] * 2)
  path = write(
    tmp_path / f"a.{ending}",
    audio_CS,
    sample_rate=rate,
    audio_codec=codec,
    block=960,
  )
  with av.open(str(path)) as file:
    to_float = av.AudioResampler("fltp")
    decoded = [
      part.to_ndarray()
      for frame in file.decode(audio=0)
      for part in to_float.resample(frame)
    ]
  mono_S = np.concatenate(decoded, axis=1).mean(0)
  plain = soxr.ResampleStream(rate, 16_000, 1, dtype="float32")
  want_S = plain.resample_chunk(mono_S, last=True)
  np.testing.assert_array_equal(sampled(path), want_S)


def refusal(path):
  """What prepare and sample say."""
  with pytest.raises(Reject) as rejected:
    media.read_sound(path)
  with pytest.raises(UserError) as refused:
    speech.count_frames(path)
  assert "\n" not in str(refused.value)
  return rejected.value.reason, str(refused.value)


def test_floats_in_another_range_are_refused_by_name(tmp_path):
  audio_CS = 32767 * VOICE[None]
  path = write(tmp_path / "a.mkv", audio_CS, audio_codec="pcm_f32le")
  reason, said = refusal(path)
  assert reason == "bad_audio"
  assert "where floats end at 1" in said


def test_a_master_that_clips_a_little_is_sound(tmp_path):
  audio_CS = 3 * VOICE[None]
  path = write(tmp_path / "a.mkv", audio_CS, audio_codec="pcm_f32le")
  assert media.read_sound(path).samples_S.max() == 32767
  assert sampled(path).max() > 1.2


@pytest.mark.parametrize("rate", [1, 2_000, 3_999, 1_000_000])
def test_a_rate_that_cannot_be_makes_nothing(tmp_path, rate):
  path = write_float_wav(tmp_path / "a.wav", VOICE[None, :500], rate)
  with pytest.raises(UserError, match=f"says {rate} samples a second"):
    speech.count_frames(path)


def test_a_few_packets_far_apart_are_not_hours_of_silence(tmp_path):
  path = tmp_path / "a.mkv"
  audio_CS = clips.noise(200 * 1024 / 16_000)
  # Stamps 10 s apart: half an hour of which 12 s were recorded.
  write(path, audio_CS, pace=10 * 16_000 / 1024)
  reason, said = refusal(path)
  assert reason == "decode_error"
  assert "s of sound in its middle" in said


def test_what_says_it_is_longer_than_hours_is_not_read(tmp_path):
  path = tmp_path / "a.mkv"
  times = np.array([0, 4 * 3600.0])
  clip = clips.Clip([STILL] * 2, times, clips.noise(0.5))
  clips.write(path, clip)
  with pytest.raises(Reject) as rejected:
    media.read_sound(path)
  assert rejected.value.reason == "too_long"


def test_channels_that_change_half_way_are_heard_through(tmp_path):
  parts = [np.stack([VOICE, -VOICE]), VOICE[None]]
  content = b""
  for number, audio_CS in enumerate(parts):
    path = tmp_path / f"{number}.ts"
    clip = clips.Clip(None, [], audio_CS, audio_start=2.0 * number)
    content += clips.write(path, clip).read_bytes()
  path = tmp_path / "both.ts"
  path.write_bytes(content)
  samples_S = sampled(path)
  assert len(samples_S) == pytest.approx(64_000, abs=2048)
  for half_S in (samples_S[:32_000], samples_S[32_000:]):
    assert level(half_S) == pytest.approx(level(VOICE), abs=0.6)
