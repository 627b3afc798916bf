import json
import os
import tracemalloc

import av
import numpy as np
import pytest
import talkers
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
  ((asked, _, seeds, guidance),) = generator.calls
  assert (seeds, guidance) == ([7], {"audio": 2.0, "pose": 0.5})
  controls, given = asked(0, 25)
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


def test_a_portrait_whose_reader_crashes_is_named(tmp_path):
  with pytest.raises(UserError, match="portrait.png cannot be read: .*SIGSEGV"):
    run(tmp_path, flags=["--faces=hostile:read_nowhere"])


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
  long = "x" * 300
  for name in ("portrait", "audio", "controls", "portrait-controls"):
    with pytest.raises(UserError, match=f"--{name} {long}: there is no such"):
      sample.main(words(**{name: long}))
  with pytest.raises(UserError, match="not the work directory of a run"):
    sample.main(words(checkpoint=tmp_path / "none", out=tmp_path / "x"))


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    *[
      (f"--seed={seed}", "--seed.*from 0 to 4294967295")
      for seed in ("-1", 2**32, "1.5", "nan", "")
    ],
    *[
      (f"--temperature={warm}", "--temperature.*from 0 to 2")
      for warm in ("nan", "1e30", "inf", "-0.1", "warm")
    ],
    *[
      (f"--steps={steps}", "--steps.*from 1 to 1000")
      for steps in ("0", 10**9, "nan", "1e3")
    ],
    ("--sets=0", "--sets.*from 1"),
    *[
      (f"--audio-guidance={scale}", "--audio-guidance.*from -100 to 100")
      for scale in ("nan", "inf", "1e9")
    ],
    *[
      (
        f"--guidance={wish}",
        "--guidance.*from -100 to 100, in the form SIGNAL=",
      )
      for wish in ("pose", "pose=", "pose=nan", "pose=-inf", "pose=1=2", "")
    ],
  ],
)
def test_numbers_that_cannot_be_are_a_line(flag, message):
  words = ["--checkpoint=c", "--portrait=p", "--audio=a", "--out=o", flag]
  with pytest.raises(UserError, match=message) as caught:
    sample.main(words)
  assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
  "flags",
  [
    ["--guidance=pose=1", "--guidance=pose=2"],
    ["--audio-guidance=2", "--guidance=audio=3"],
  ],
)
def test_guidance_that_is_said_twice_is_no_lost_wish(tmp_path, flags):
  with pytest.raises(UserError, match="twice"):
    run(tmp_path, flags=flags)


@pytest.fixture
def inputs(tmp_path):
  """The files of a command, and a stand-in for a checkpoint."""
  paths = {
    name: tmp_path / name
    for name in ("portrait", "audio", "controls", "portrait-controls")
  }
  paths["checkpoint"] = tmp_path / "talker"
  paths["checkpoint"].mkdir()
  (paths["checkpoint"] / "config.json").write_text("precious")
  for path in list(paths.values())[:4]:
    path.write_text("precious")
  return paths


@pytest.mark.parametrize(
  "name",
  ["portrait", "audio", "controls", "portrait-controls", "checkpoint"],
)
@pytest.mark.parametrize("spelling", ["same", "dots", "hard link"])
def test_nothing_that_is_read_is_replaced(inputs, tmp_path, name, spelling):
  read = inputs[name]
  if name == "checkpoint":
    read = read / "config.json"
  out = read
  if spelling == "dots":
    out = read.parent / "." / "new" / ".." / read.name
  if spelling == "hard link":
    out = tmp_path / "other.mp4"
    os.link(read, out)
    if name == "checkpoint":
      return  # to replace the link harms no file of the checkpoint
  words = [f"--{flag}={path}" for flag, path in inputs.items()]
  with pytest.raises(UserError, match="--out .* reads; give another"):
    sample.main([*words, f"--out={out}"])
  assert read.read_text() == "precious"


def test_an_output_that_cannot_be_is_refused_before_the_work(inputs, tmp_path):
  words = [f"--{flag}={path}" for flag, path in inputs.items()]
  for out in (tmp_path, tmp_path / ("x" * 256), tmp_path / "audio" / "x.mp4"):
    # The checkpoint is none, which would be the next complaint.
    with pytest.raises(UserError, match="--out") as caught:
      sample.main([*words, f"--out={out}"])
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_before_the_first_frame_grows_with_the_length(
  tmp_path, monkeypatch
):
  """A day of speech: only the span at hand is asked for."""
  day = 25 * 3600 * 24
  monkeypatch.setattr(sample, "count_frames", lambda path: day)
  generator = FakeGenerator()
  controls = {"emotion": {"0": "sad", str(day - 1): "happy"}}
  found = []

  def generate(portraits, mel, asked, **settings):
    found.extend(asked(at, at + 1)[0]["emotion"].item() for at in (0, day - 1))
    yield np.zeros((1, 1, 16, 16, 3), np.uint8)

  generator.generate = generate
  tracemalloc.start()
  run(tmp_path, generator, seconds=0.1, controls=controls)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert found == [2, 1]
  assert peak < day  # less than a byte for each frame


def test_a_real_generator_fits_in(tmp_path, tiny):  # noqa: F811
  first, _ = streams(run(tmp_path, tiny, flags=["--seed", "3"]))
  again, _ = streams(run(tmp_path, tiny, flags=["--seed", "3"]))
  other, _ = streams(run(tmp_path, tiny, flags=["--seed", "4"]))
  assert len(first) == 25
  np.testing.assert_array_equal(first, again)
  assert np.abs(first.astype(int) - other.astype(int)).max() > 5


def test_a_frame_that_is_not_finite_leaves_no_video(tmp_path, tiny):  # noqa: F811
  broken = talkers.breaking(tiny)
  controls = {"pose": {"0": [0, 0, 0], "9": [1, 1, 1]}}
  with pytest.raises(UserError, match="frame 9 of video 0 is no picture"):
    run(tmp_path, broken, controls=controls)
  assert not (tmp_path / "out.mp4").exists()
