import av
import numpy as np
import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.video import writing_video


def gradient(size, shift):
  ramp_X = np.linspace(0, 200, size) + shift
  return np.broadcast_to(ramp_X[None, :, None], (size, size, 3)).astype("uint8")


def test_frames_and_sound_come_back_from_the_file(tmp_path):
  path = tmp_path / "deep" / "film.mp4"
  tone_S = 0.5 * np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000)
  with writing_video(path, (64, 64), sample_rate=48_000) as film:
    for index in range(25):
      film.write(gradient(64, index))
      film.write_audio(tone_S[index * 1920 : (index + 1) * 1920])
  with av.open(path) as file:
    video, audio = file.streams.video[0], file.streams.audio[0]
    assert (video.codec_context.name, audio.codec_context.name) == (
      "h264",
      "aac",
    )
    assert (video.width, video.height) == (256, 256)
    assert video.codec_context.pix_fmt == "yuv420p"
    assert video.average_rate == 25
    frames = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
  assert len(frames) == 25
  small_YX3 = frames[10][2::4, 2::4]
  assert np.abs(small_YX3.astype(int) - gradient(64, 10)).mean() < 3
  with av.open(path) as file:
    sound = np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)])
  assert abs(len(sound) - 48_000) < 2 * 1024
  assert np.sqrt((sound[2000:40_000] ** 2).mean()) == pytest.approx(
    0.35, abs=0.02
  )


def test_large_films_say_their_colours_so_that_all_players_agree(tmp_path):
  path = tmp_path / "film.mp4"
  red_YX3 = np.full((720, 1280, 3), (200, 60, 40), np.uint8)
  with writing_video(path, (720, 1280)) as film:
    film.write(red_YX3)
  with av.open(path) as file:
    (frame,) = file.decode(video=0)
  tags = frame.color_primaries, frame.color_trc
  assert tags == (1, 1)
  assert (frame.colorspace, frame.color_range) == (6, 1)
  # A decoder that believes the tags, sees what was filmed.
  picture_YX3 = frame.to_ndarray(format="rgb24").astype(int)
  assert np.abs(picture_YX3 - red_YX3).max() <= 3


def test_the_index_stands_before_the_pictures(tmp_path):
  path = tmp_path / "film.mp4"
  with writing_video(path, (64, 64)) as film:
    film.write(gradient(64, 0))
  data = path.read_bytes()
  assert data.find(b"moov") < data.find(b"mdat")


def test_odd_and_large_pictures_become_even_films(tmp_path):
  path = tmp_path / "film.mp4"
  with writing_video(path, (301, 333)) as film:
    film.write(np.zeros((301, 333, 3), np.uint8))
  with av.open(path) as file:
    video = file.streams.video[0]
    assert (video.width, video.height) == (334, 302)


def test_a_failure_leaves_no_file_and_keeps_the_older_one(tmp_path):
  path = tmp_path / "film.mp4"
  path.write_text("older")
  with (
    pytest.raises(RuntimeError, match="boom"),
    writing_video(path, (64, 64), sample_rate=16_000) as film,
  ):
    film.write(gradient(64, 0))
    raise RuntimeError("boom")
  assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]
  assert path.read_text() == "older"


def test_nothing_has_the_final_name_before_the_end(tmp_path):
  path = tmp_path / "film.mp4"
  with writing_video(path, (64, 64)) as film:
    film.write(gradient(64, 0))
    assert not path.exists()
  assert path.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with (
    pytest.raises(UserError, match="cannot be written"),
    writing_video(tmp_path / "file" / "film.mp4", (64, 64)),
  ):
    pass
