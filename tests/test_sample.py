import json

import av
import numpy as np
import pytest
from fake_talkers import FakeGenerator
from PIL import Image
from test_generate import generator as tiny  # noqa: F401, a fixture
from test_speech import noise, write_wav

from eartalk_jax.errors import UserError
from launch import sample


def run(tmp_path, generator=None, *, seconds=1.0, controls=None, flags=()):
  """Runs the command's heart; returns the path of the video."""
  portrait, audio = tmp_path / "portrait.png", tmp_path / "speech.wav"
  if not portrait.exists():
    Image.new("RGB", (64, 64), (200, 30, 90)).save(portrait)
  if not audio.exists():
    write_wav(audio, noise(seconds))
  out = tmp_path / "out.mp4"
  words = ["--checkpoint", "none", "--faces", "whole", *flags]
  words += ["--portrait", str(portrait), "--audio", str(audio)]
  if controls is not None:
    (tmp_path / "controls.json").write_text(json.dumps(controls))
    words += ["--controls", str(tmp_path / "controls.json")]
  args = sample._arguments([*words, "--out", str(out)])
  sample.make_video(generator or FakeGenerator(), args)
  return out


def streams(path):
  with av.open(path) as file:
    frames = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
  with av.open(path) as file:
    sound = [f.to_ndarray() for f in file.decode(audio=0)]
  return np.stack(frames), np.concatenate(sound, 1)


@pytest.mark.parametrize("seconds", [0.1, 0.99, 2.5])
def test_there_are_25_frames_for_every_second_and_the_sound(tmp_path, seconds):
  frames_TYX3, sound = streams(run(tmp_path, seconds=seconds))
  assert len(frames_TYX3) == round(seconds * 25)
  assert abs(sound.shape[1] - seconds * 48_000) < 48_000 / 25 + 1024


def test_a_control_changes_the_picture_from_its_frame_on(tmp_path):
  controls = {"pose": {"10": [1, 0, 0], "20": None}}
  frames_TYX3, _ = streams(run(tmp_path, controls=controls))
  size = frames_TYX3.shape[1]
  brow_T = frames_TYX3[:, size // 8 : size // 5, size // 3 : size // 2].mean(
    (1, 2, 3)
  )
  assert brow_T[:10].max() < 150
  assert brow_T[10:20].min() > 230


def test_what_is_known_of_the_portrait_reaches_the_generator(tmp_path):
  generator = FakeGenerator()
  path = tmp_path / "portrait.json"
  path.write_text(json.dumps({"pose": [0.5, 0, 0], "emotion": "sad"}))
  run(tmp_path, generator, flags=["--portrait-controls", str(path)])
  known = generator.portrait_controls
  np.testing.assert_array_equal(known["pose"][0], [[0.5, 0, 0]])
  np.testing.assert_array_equal(known["emotion"][0], [[2]])
  assert known["pose"][1].tolist() == [True]
  path.write_text(json.dumps({"posse": [0, 0, 0]}))
  with pytest.raises(UserError, match="did you mean 'pose'"):
    run(tmp_path, flags=["--portrait-controls", str(path)])


def test_what_the_flags_say_reaches_the_generator(tmp_path):
  generator = FakeGenerator()
  flags = ["--seed=7", "--audio-guidance=2", "--guidance=pose=0.5"]
  run(tmp_path, generator, flags=flags, controls={"emotion": {"5": "sad"}})
  ((controls, given, seeds, guidance),) = generator.calls
  assert (seeds, guidance) == ([7], {"audio": 2.0, "pose": 0.5})
  assert controls["emotion"].shape == (1, 25, 1)
  assert given["emotion"][0].tolist() == [False] * 5 + [True] * 20


def test_silence_and_grey_portraits_make_a_video(tmp_path):
  write_wav(tmp_path / "speech.wav", np.zeros(16_000))
  Image.new("L", (16, 16), 90).save(tmp_path / "portrait.png")
  frames_TYX3, sound = streams(run(tmp_path))
  assert len(frames_TYX3) == 25
  assert np.abs(sound).max() < 1e-3


def test_a_control_beyond_the_end_leaves_no_video(tmp_path):
  with pytest.raises(UserError, match="frame 25 is beyond the end"):
    run(tmp_path, controls={"pose": {"25": [0, 0, 0]}})
  assert not (tmp_path / "out.mp4").exists()


def test_a_portrait_that_is_text_is_named(tmp_path):
  (tmp_path / "portrait.png").write_text("text")
  with pytest.raises(UserError, match="is not a picture"):
    run(tmp_path)


def test_the_command_names_missing_files_and_wrong_numbers(tmp_path):
  there = tmp_path / "a"
  there.write_text("")

  def words(**changes):
    asked = {"checkpoint": there, "portrait": there, "audio": there, "out": "x"}
    pairs = (asked | changes).items()
    return [w for name, value in pairs for w in (f"--{name}", str(value))]

  for name in ("portrait", "audio", "controls"):
    with pytest.raises(UserError, match=f"--{name} none: there is no such"):
      sample.main(words(**{name: "none"}))
  with pytest.raises(UserError, match="--seed -1"):
    sample.main(words(seed=-1))
  with pytest.raises(UserError, match="not the work directory of a run"):
    sample.main(words())


def test_a_real_generator_fits_in(tmp_path, tiny):  # noqa: F811
  first, _ = streams(run(tmp_path, tiny, flags=["--seed", "3"]))
  again, _ = streams(run(tmp_path, tiny, flags=["--seed", "3"]))
  other, _ = streams(run(tmp_path, tiny, flags=["--seed", "4"]))
  assert len(first) == 25
  np.testing.assert_array_equal(first, again)
  assert np.abs(first.astype(int) - other.astype(int)).max() > 5
