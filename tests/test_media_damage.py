"""Files that are broken or lack something: each has a typed reason."""

import clips
import numpy as np
import pytest
from test_media import decode

from data_pipelines.rejects import Reject


def reason_of(path):
  with pytest.raises(Reject) as info:
    decode(path)
  return info.value.reason


def test_what_is_no_video_is_said_so(tmp_path):
  path = tmp_path / "a.mp4"
  path.write_text("this is a letter, not a video")
  assert reason_of(path) == "not_a_video"
  path.write_bytes(b"")
  assert reason_of(path) == "not_a_video"
  assert reason_of(tmp_path / "missing.mp4") == "not_a_video"


def test_sound_without_pictures_is_no_video(tmp_path):
  path = tmp_path / "a.mp4"
  clips.write(path, clips.Clip(None, [], clips.noise(1)))
  assert reason_of(path) == "not_a_video"


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_truncated_mp4_is_said_so(tmp_path, keep, options):
  rng = np.random.default_rng(0)
  pictures = rng.integers(0, 255, (100, 64, 64, 3), dtype=np.uint8)
  clip = clips.Clip(
    pictures, np.arange(100) / 25, clips.noise(4), options=options
  )
  path = clips.write(tmp_path / "a.mp4", clip)
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * keep)])
  assert reason_of(path) in ("truncated", "decode_error")


def test_a_recording_that_stopped_half_way_is_said_so(tmp_path):
  clip = clips.Clip(
    clips.numbered(100),
    np.arange(100) / 25,
    clips.noise(4),
    audio_codec="pcm_s16le",
  )
  path = clips.write(tmp_path / "a.mkv", clip)
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  assert reason_of(path) == "truncated"


def test_a_video_track_without_pictures_is_said_so(tmp_path):
  path = tmp_path / "a.mkv"
  clip = clips.Clip(clips.numbered(1), [], clips.noise(1))
  clips.write(path, clip)
  assert reason_of(path) == "no_frames"


def test_no_sound_is_said_so(tmp_path):
  clip = clips.Clip(clips.numbered(10), np.arange(10) / 25, None)
  assert reason_of(clips.write(tmp_path / "a.mp4", clip)) == "no_audio"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sound_that_is_not_a_number_is_said_so(tmp_path, bad):
  audio = clips.noise(1)
  audio[0, 5000] = bad
  clip = clips.Clip(
    clips.numbered(25), np.arange(25) / 25, audio, audio_codec="pcm_f32le"
  )
  assert reason_of(clips.write(tmp_path / "a.mkv", clip)) == "bad_audio"


def test_sound_that_begins_after_the_last_picture_is_no_sound(tmp_path):
  clip = clips.Clip(
    clips.numbered(5),
    np.arange(5) / 25,
    clips.noise(1),
    audio_codec="pcm_s16le",
    audio_start=1.0,
  )
  assert reason_of(clips.write(tmp_path / "a.mkv", clip)) == "no_audio"
