import fractions

import clips
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipelines import media
from data_pipelines.rejects import Reject


def decode(path):
  """(frames, their times, sound, clock) of a whole file."""
  sound, clock = media.read_sound(path), media.Clock()
  frames = list(media.frames_at_25(path, sound, clock))
  return frames, np.array([f.time for f in frames]), sound, clock


def numbers(frames):
  return [clips.number(f.scaled(*f.size)) for f in frames]


RATES = ["24000/1001", "24", "25", "30000/1001", "30", "50", "60"]


@pytest.mark.parametrize("rate", RATES)
def test_every_frame_rate_becomes_25_by_the_nearest_time(tmp_path, rate):
  rate = float(fractions.Fraction(rate))
  times = np.arange(round(2 * rate)) / rate
  clip = clips.Clip(clips.numbered(len(times)), times, clips.noise(2))
  frames, got_T, sound, clock = decode(clips.write(tmp_path / "a.mp4", clip))
  assert clock.zero == 0
  assert abs(len(frames) / 25 - 2) < 1 / 25
  want_T = np.arange(len(frames)) / 25
  assert np.all(np.abs(got_T - want_T) <= 0.5 / min(rate, 25) + 1e-3)
  nearest_T = np.abs(times[:, None] - want_T).argmin(axis=0)
  off_T = np.abs(times[numbers(frames)] - want_T)
  np.testing.assert_allclose(
    off_T, np.abs(times[nearest_T] - want_T), atol=1e-3
  )


@settings(
  max_examples=15,
  deadline=None,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
  gaps=st.lists(st.integers(8, 120), min_size=1, max_size=40),
  seconds=st.floats(0.1, 3),
  start=st.sampled_from([0.0, 0.3]),
  rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
)
def test_sound_and_picture_always_have_the_same_length(
  tmp_path, gaps, seconds, start, rate
):
  times = np.cumsum([0, *gaps]) / 1000  # any variable frame rate
  clip = clips.Clip(
    clips.numbered(len(times)),
    times,
    clips.noise(seconds, rate),
    rate,
    audio_codec="pcm_s16le",
    audio_start=start,
  )
  path = clips.write(tmp_path / "a.mkv", clip)
  try:
    frames, got_T, sound, clock = decode(path)
  except Reject as reject:
    assert reject.reason == "no_audio" and times[-1] <= start + 0.05
    return
  count = len(frames)
  assert len(sound.cut(clock.zero, 0, count)) == count * 640
  overlap = min(clock.end, sound.end) - clock.zero
  assert abs(count / 25 - overlap) < 1 / 25
  want_T = clock.zero + np.arange(count) / 25
  nearest_T = np.abs(times[:, None] - want_T).min(axis=0)
  assert np.all(np.abs(got_T - want_T) <= nearest_T + 2e-3)


CONTAINERS = [
  ("mp4", "libx264", "aac"),
  ("mov", "libx264", "aac"),
  ("mkv", "libx264", "flac"),
  ("webm", "libvpx-vp9", "libopus"),
]


@pytest.mark.parametrize("ending, video, audio", CONTAINERS)
def test_a_flash_and_a_click_stay_together(tmp_path, ending, video, audio):
  rate, when = 48_000, 1.02
  times = np.arange(60) / 29.97
  pictures = np.full((60, 64, 64, 3), 40, np.uint8)
  pictures[np.abs(times - when).argmin()] = 230
  sound = np.zeros((2, 2 * rate), np.float32)
  sound[:, round(when * rate) : round(when * rate) + 200] = 0.5
  clip = clips.Clip(pictures, times, sound, rate, video, audio)
  frames, _, sound, clock = decode(clips.write(tmp_path / f"a.{ending}", clip))
  samples_S = sound.cut(clock.zero, 0, len(frames))
  flash = np.argmax([f.scaled(8, 8).mean() for f in frames])
  click = np.argmax(np.abs(samples_S.astype(float))) / 640
  assert abs(flash - click) < 1.2
  assert abs(click - when * 25) < 0.5


def test_late_sound_begins_where_both_are_there(tmp_path):
  times = np.arange(50) / 25
  audio = clips.noise(1.0)
  clip = clips.Clip(
    clips.numbered(50), times, audio, audio_codec="pcm_s16le", audio_start=0.48
  )
  frames, _, sound, clock = decode(clips.write(tmp_path / "a.mkv", clip))
  assert clock.zero == pytest.approx(0.48, abs=2e-3)
  assert numbers(frames) == list(range(12, 37))
  want_S = np.round(audio[0] * 32768)
  got_S = sound.cut(clock.zero, 0, 25)
  assert np.abs(got_S - want_S).max() <= 2


@pytest.mark.parametrize("seconds, frames", [(0.5, 12), (3.0, 50)])
def test_the_shorter_of_sound_and_picture_decides(tmp_path, seconds, frames):
  clip = clips.Clip(
    clips.numbered(50), np.arange(50) / 25, clips.noise(seconds)
  )
  got, _, sound, clock = decode(clips.write(tmp_path / "a.mp4", clip))
  assert abs(len(got) - frames) <= 1
  assert abs(clock.end - sound.end) == pytest.approx(abs(2 - seconds), abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channels_become_16_khz_mono(tmp_path, rate, channels):
  time_S = np.arange(rate * 2) / rate
  tone = 0.3 * np.sin(2 * np.pi * 440 * time_S).astype(np.float32)
  clip = clips.Clip(
    clips.numbered(50),
    np.arange(50) / 25,
    np.stack([tone] * channels),
    rate,
    audio_codec="pcm_s16le",
  )
  sound = media.read_sound(clips.write(tmp_path / "a.mkv", clip))
  want_S = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
  got_S = sound.samples_S / 32768
  assert abs(len(got_S) - 32_000) <= 2
  middle = slice(1000, 31_000)
  assert np.abs(got_S[middle] - want_S[middle]).max() < 0.01


def test_a_hole_in_the_sound_does_not_shift_what_follows(tmp_path):
  path = tmp_path / "a.mkv"
  audio = clips.noise(2.0)
  hole = slice(10 * 1024, 16 * 1024)
  clip = clips.Clip(
    clips.numbered(50),
    np.arange(50) / 25,
    audio,
    audio_codec="pcm_s16le",
    lost=range(10, 16),
  )
  sound = media.read_sound(clips.write(path, clip))
  want_S = np.round(audio[0] * 32768)
  want_S[hole] = 0
  # Matroska rounds times to milliseconds, which are 16 samples.
  errors = [
    np.abs(np.roll(sound.samples_S, shift)[:31_000] - want_S[:31_000]).mean()
    for shift in range(-16, 17)
  ]
  assert min(errors) < 20


def rotate_mp4(path, matrix):
  """Writes a display matrix into the first track header."""
  content = bytearray(path.read_bytes())
  at = content.index(b"tkhd") + 4 + 40
  content[at : at + 36] = np.array(matrix, ">i4").tobytes()
  path.write_bytes(bytes(content))


ONE, W = 1 << 16, 1 << 30
TURNS = {
  # how a phone marks a picture that is to be turned clockwise by 90, 180, 270
  1: [0, ONE, 0, -ONE, 0, 0, 0, 0, W],
  2: [-ONE, 0, 0, 0, -ONE, 0, 0, 0, W],
  3: [0, -ONE, 0, ONE, 0, 0, 0, 0, W],
}


@pytest.mark.parametrize("turns", TURNS)
def test_a_rotated_phone_video_comes_out_upright(tmp_path, turns):
  picture = np.full((64, 128, 3), 30, np.uint8)
  picture[:32, :64] = 220  # bright upper left corner of the sensor's picture
  clip = clips.Clip([picture] * 25, np.arange(25) / 25, clips.noise(1))
  path = clips.write(tmp_path / "a.mp4", clip)
  rotate_mp4(path, TURNS[turns])
  frames, *_ = decode(path)
  want = np.rot90(picture, -turns)
  assert frames[0].size == want.shape[1::-1]
  got = frames[0].scaled(*frames[0].size)
  assert np.abs(got.astype(int) - want).mean() < 8


def test_pixels_that_are_not_square_are_made_so(tmp_path):
  clip = clips.Clip(
    clips.numbered(25), np.arange(25) / 25, clips.noise(1), pixel_aspect=2
  )
  frames, *_ = decode(clips.write(tmp_path / "a.mp4", clip))
  assert frames[3].size == (128, 64)
  assert numbers(frames)[3] == 3


def test_a_4k_picture_is_scaled_as_it_comes(tmp_path):
  pictures = [clips.numbered(2, 3840, 2160)[1]] * 3
  clip = clips.Clip(pictures, np.arange(3) / 25, clips.noise(0.12))
  frames, *_ = decode(clips.write(tmp_path / "a.mp4", clip))
  small = frames[0].scaled(64, 36)
  assert small.shape == (36, 64, 3) and clips.number(small) == 1


def test_a_tenth_of_a_second_is_two_frames(tmp_path):
  clip = clips.Clip(clips.numbered(50), np.arange(50) / 25, clips.noise(0.1))
  frames, *_ = decode(clips.write(tmp_path / "a.mkv", clip))
  assert len(frames) in (2, 3)


def test_ten_minutes_pass_without_being_held(tmp_path):
  times = np.arange(1200) / 2
  pictures = [np.full((32, 32, 3), i % 200, np.uint8) for i in range(1200)]
  clip = clips.Clip(
    pictures, times, clips.noise(600, 8_000), 8_000, audio_codec="pcm_s16le"
  )
  path = clips.write(tmp_path / "a.mkv", clip)
  sound, clock = media.read_sound(path), media.Clock()
  count = sum(1 for _ in media.frames_at_25(path, sound, clock))
  assert abs(count - 15_000) < 13  # nobody says how long the last picture is
  assert sound.samples_S.nbytes < 20e6
