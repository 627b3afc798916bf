"""example.py of an exported folder: from files to a film, with care."""

import json
import os
import pathlib
import sys
import wave

import av
import exported
import numpy as np
import pytest
from PIL import Image
from test_speech import write_wav

from data_pipelines.portrait import load_portrait

SPEECH = np.random.default_rng(0).normal(0, 0.1, 640 * 6).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return exported.torch_folder(tmp_path_factory.mktemp("example") / "out")


@pytest.fixture
def example(folder, tmp_path, monkeypatch):
  """The module `example` of the folder; a face and speech lie around."""
  Image.effect_noise((40, 30), 90).convert("RGB").save(tmp_path / "face.png")
  write_wav(tmp_path / "speech.wav", SPEECH)
  names = ("example", "modeling_eartalk", "picture_files")
  for name in names:
    monkeypatch.delitem(sys.modules, name, raising=False)
  monkeypatch.syspath_prepend(folder)
  monkeypatch.chdir(tmp_path)
  import example

  yield example
  for name in names:
    sys.modules.pop(name, None)


def run(example, monkeypatch, capsys, **options):
  """(status, what it says) with these options."""
  given = {"portrait": "face.png", "audio": "speech.wav", "out": "o.mp4"}
  given |= {k: v for k, v in options.items() if v is not None}
  words = [f"--{name}={value}" for name, value in given.items()]
  monkeypatch.setattr(sys, "argv", ["example.py", *words])
  before = set(pathlib.Path().iterdir())
  status = example.main()
  said = capsys.readouterr()
  if status:
    assert status == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert set(pathlib.Path().iterdir()) == before
  return status, said.err or said.out


@pytest.fixture
def runs(example, monkeypatch, capsys):
  return lambda **options: run(example, monkeypatch, capsys, **options)


def test_it_makes_a_film_that_says_what_its_colours_mean(runs):
  status, said = runs(controls='{"emotion": {"0": "happy", "5": null}}')
  assert (status, said) == (0, "o.mp4: 6 frames\n")
  with av.open("o.mp4") as file:
    context = file.streams.video[0].codec_context
    tags = [context.colorspace, context.color_primaries, context.color_trc]
    assert [*tags, context.color_range] == [6, 1, 1, 1]
    assert [(f.width, f.height) for f in file.decode(video=0)] == [(16, 16)] * 6
  with av.open("o.mp4") as file:
    sound = sum(frame.samples for frame in file.decode(audio=0))
  assert abs(sound - len(SPEECH)) <= 1024
  assert runs() == (0, said)  # an older film is replaced


def test_colours_are_those_of_the_pictures(example):
  colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 150, 130)]
  picture_YX3 = np.repeat(np.uint8([colours]), 8, 0).repeat(16, 1)[:, :64]
  picture_YX3 = picture_YX3.repeat(8, 0)
  with example.filming(pathlib.Path("c.mp4"), 64, 25, 16_000) as film:
    for _ in range(5):
      film.show(picture_YX3)
  with av.open("c.mp4") as file:
    found = next(file.decode(video=0)).to_ndarray(format="rgb24")
  for index, colour in enumerate(colours):
    patch = found[:, 16 * index + 4 : 16 * index + 12].mean((0, 1))
    assert np.abs(patch - colour).max() < 6


def test_its_portrait_is_that_of_the_commands(example, tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 5
  Image.effect_noise((90, 50), 90).save(tmp_path / "turned.png", exif=exif)
  found = example.read_portrait(tmp_path / "turned.png", 16)
  expected = load_portrait(tmp_path / "turned.png", 16, "whole")
  assert np.array_equal(found, expected)


@pytest.mark.parametrize(
  ("option", "value", "words"),
  [
    ("portrait", "gone.png", "gone.png cannot be read"),
    ("portrait", "speech.wav", "speech.wav is not a picture"),
    ("portrait", ".", "no ordinary file"),
    ("audio", "gone.wav", "gone.wav"),
    ("audio", "face.png", "face.png"),
    ("audio", "list.mp4", "list.mp4"),
    ("audio", "slow.wav", "1 Hz"),
    ("audio", "loud.wav", "reaches"),
    ("audio", "short.wav", "single frame"),
    ("audio", "a\nb", "a\\nb"),
    ("out", "gone/o.mp4", "No such file"),
    ("out", "folder.mp4", ".mp4 file"),
    ("out", "o.wav", ".mp4 file"),
    ("out", "", ".mp4 file"),
    ("out", "x" * 252 + ".mp4", "too long"),
    ("out", "/proc/o.mp4", "cannot be written"),
    ("controls", "{", "not a JSON file"),
    ("controls", '{"pose": {"0": [0, 0, NaN]}}', "not a JSON file"),
    ("controls", '{"pose": {"0": null, "0": null}}', "said twice"),
    ("controls", '{"pose": {"0": null, "00": null}}', "frame is '00'"),
    ("controls", '{"pose": {"6": null}}', "beyond the end"),
    ("controls", "[" * 100_000, "nested too deeply"),
    ("controls", f'{{"pose": {{"0": {"9" * 401}}}}}', "no number"),
    ("controls", '{"pose": {"0": [2, 0, 0]}}', "3 numbers in [-1, 1]"),
    ("seed", "-1", "seed is -1"),
    ("seed", "x", "invalid int"),
    ("seed", str(2**32), "seed is"),
    ("device", "nonsense", "--device nonsense"),
    ("unknown", "1", "--help"),
  ],
)
def test_a_mistake_is_a_line_and_leaves_nothing(runs, option, value, words):
  pathlib.Path("folder.mp4").mkdir()
  pathlib.Path("list.mp4").write_text(
    "ffconcat version 1.0\nfile 'speech.wav'\n"
  )
  write_wav("slow.wav", SPEECH, rate=1)
  write_wav("short.wav", SPEECH[:100])
  write_loud("loud.wav")
  status, said = runs(**{option: value})
  assert status == 2
  assert words in said
  assert len(said) < 600


def write_loud(path):
  """Floats up to 32,767, as from integers that nobody divided."""
  with av.open(path, "w") as file:
    stream = file.add_stream("pcm_f32le", rate=16_000, layout="mono")
    block = (SPEECH / np.abs(SPEECH).max() * 32_767)[None]
    frame = av.AudioFrame.from_ndarray(block, "flt", "mono")
    frame.sample_rate = 16_000
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def test_what_is_read_is_not_replaced_by_any_spelling(runs):
  write_wav("speech.wav", SPEECH)
  pathlib.Path("speech.wav").rename("clip.mp4")
  pathlib.Path("soft.mp4").symlink_to("clip.mp4")
  os.link("clip.mp4", "hard.mp4")
  before = pathlib.Path("clip.mp4").read_bytes()
  for out in ("clip.mp4", "./clip.mp4", "soft.mp4", "hard.mp4"):
    status, said = runs(audio="clip.mp4", out=out)
    assert status == 2
    assert "would replace what is read" in said
  assert pathlib.Path("clip.mp4").read_bytes() == before


def test_a_film_that_breaks_off_leaves_the_old_one(runs, monkeypatch, example):
  pathlib.Path("o.mp4").write_bytes(b"old")
  monkeypatch.setattr(example.Film, "finish", lambda film: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    runs()
  assert pathlib.Path("o.mp4").read_bytes() == b"old"
  assert not list(pathlib.Path().glob(".*"))


def test_a_damaged_folder_is_a_line(runs, folder):
  path = folder / "config.json"
  kept = path.read_text()
  path.write_text(json.dumps(json.loads(kept) | {"width": 10**12}))
  try:
    status, said = runs()
  finally:
    path.write_text(kept)
  assert status == 2
  assert "width" in said


def write_channels(path, channels_CS):
  with wave.open(str(path), "wb") as file:
    file.setnchannels(len(channels_CS))
    file.setsampwidth(2)
    file.setframerate(16_000)
    file.writeframes((channels_CS.T * 32_000).astype("<i2").tobytes())


@pytest.mark.parametrize(
  "kind", ["opposite", "left", "right", "both", "eight", "one of eight"]
)
def test_the_voice_is_heard_in_any_channel(example, kind):
  voice_S = np.sin(np.arange(8000) / 5) * 0.5
  nothing_S = 0 * voice_S
  channels = {
    "opposite": [voice_S, -voice_S],
    "left": [voice_S, nothing_S],
    "right": [nothing_S, voice_S],
    "both": [voice_S, voice_S],
    "eight": [voice_S] * 8,
    "one of eight": [nothing_S] * 2 + [voice_S] + [nothing_S] * 5,
  }[kind]
  write_channels("x.wav", np.stack(channels))
  samples, weights = example.measure_sound("x.wav", 16_000)
  pieces = [weights @ piece for piece in example.read_sound("x.wav", 16_000)]
  heard_S = np.concatenate(pieces)
  assert abs(samples - 8000) <= 32
  assert len(heard_S) == samples
  level = 20 * np.log10(heard_S.std() / voice_S.std())
  assert -9 < level < 3


def test_titles_of_any_bytes_are_no_reason_to_refuse(example):
  write_wav("x.wav", SPEECH)
  content = pathlib.Path("x.wav").read_bytes()
  title = b"LIST\x12\0\0\0INFOINAM\x06\0\0\0caf\xe9\0\0"
  content = content[:36] + title + content[36:]
  size = (len(content) - 8).to_bytes(4, "little")
  pathlib.Path("x.wav").write_bytes(content[:4] + size + content[8:])
  assert example.measure_sound("x.wav", 16_000)[0] == len(SPEECH)
