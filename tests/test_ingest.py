"""Every kind of bad or odd file, through the whole of one file's ingest."""

import json

import clips
import numpy as np
import pytest
from PIL import Image
from skimage import data
from videos import LIMITS, face, write_face, write_truth

from data_pipelines import filters
from data_pipelines.ingest import Settings, ingest_file


def ingest(path, **changes):
  """Records and verdicts of one file with the default filter."""
  fields = {
    "size": 32,
    "faces": "cascade",
    "longest": 20.0,
    "track_sizes": {},
    "categories": {},
  }
  settings = Settings(**(fields | changes))
  records, verdicts = [], []
  for record, row in ingest_file(path, "name", settings):
    assert json.loads(json.dumps(row)) == row
    if record is not None:
      records.append(record)
      assert len(record["audio"]) == len(record["frames"]) * 640
      assert len(record["frames"]) == row["frames"]
      verdicts.append(filters.verdict(row["scores"], LIMITS))
    else:
      verdicts.append(row["reason"])
  return records, verdicts


def write(path, pictures, audio=None, rate=25, **fields):
  count = len(pictures)
  sound = clips.noise(count / rate) if audio is None else audio
  clip = clips.Clip(pictures, np.arange(count) / rate, sound, **fields)
  return clips.write(path, clip)


def test_a_good_clip_is_kept(tmp_path):
  records, verdicts = ingest(write_face(tmp_path / "a.mp4"))
  assert verdicts == [None]
  assert len(records[0]["frames"]) == 50


def test_no_face(tmp_path):
  coffee = np.asarray(Image.fromarray(data.coffee()).resize((192, 128)))
  _, verdicts = ingest(write(tmp_path / "a.mp4", [coffee] * 30))
  assert verdicts == ["no_face"]


def test_two_faces(tmp_path):
  pictures = [np.concatenate([p, p], axis=1) for p in face(40, width=128)]
  _, verdicts = ingest(write(tmp_path / "a.mp4", pictures))
  assert verdicts == ["two_faces"]


def test_a_face_that_leaves(tmp_path):
  empty = np.full((192, 192, 3), 100, np.uint8)
  fading = [
    (w * p + (1 - w) * empty).astype(np.uint8)
    for w, p in zip(np.linspace(1, 0, 30), face(30), strict=True)
  ]
  pictures = face(30) + fading + [empty] * 60
  _, verdicts = ingest(write(tmp_path / "a.mp4", pictures))
  assert verdicts == ["face_leaves"]


def test_a_picture_of_16_pixels(tmp_path):
  pictures = np.zeros((30, 16, 16, 3), np.uint8)
  path = write(tmp_path / "a.mp4", pictures)
  for faces in ("cascade", "whole"):
    assert ingest(path, faces=faces)[1] == ["too_small"]


def test_a_4k_picture(tmp_path):
  large = np.asarray(Image.fromarray(face(1)[0]).resize((2160, 2160)))
  large = np.pad(large, ((0, 0), (840, 840), (0, 0)))
  records, verdicts = ingest(write(tmp_path / "a.mp4", [large] * 6, rate=4))
  assert verdicts == [None]
  assert len(records[0]["frames"]) > 25


def test_a_source_smaller_than_the_crop(tmp_path):
  small = [np.asarray(Image.fromarray(p).resize((64, 64))) for p in face(30)]
  path = write(tmp_path / "a.mp4", small)
  _, verdicts = ingest(path, faces="whole", size=256)
  assert verdicts == ["low_resolution"]


def test_silent_sound(tmp_path):
  silence = np.zeros((1, 32_000), np.float32)
  _, verdicts = ingest(write(tmp_path / "a.mp4", face(50), silence))
  assert verdicts == ["silent_audio"]


def test_sound_that_is_not_a_number(tmp_path):
  audio = clips.noise(2)
  audio[0, 100] = np.nan
  path = write(tmp_path / "a.mkv", face(50), audio, audio_codec="pcm_f32le")
  assert ingest(path)[1] == ["bad_audio"]


def test_a_tenth_of_a_second(tmp_path):
  path = write(tmp_path / "a.mp4", face(50), clips.noise(0.1))
  assert ingest(path)[1] == ["too_short"]


def test_sound_and_picture_of_different_length(tmp_path):
  long = write(tmp_path / "a.mp4", face(40), clips.noise(3))
  records, verdicts = ingest(long)
  assert verdicts == [None] and len(records[0]["frames"]) == 40
  short = write(tmp_path / "b.mp4", face(50), clips.noise(1.2))
  records, verdicts = ingest(short)
  assert verdicts == [None] and abs(len(records[0]["frames"]) - 30) <= 1


def test_every_shot_is_a_clip_of_its_own(tmp_path):
  mirrored = [p[:, ::-1] for p in face(40)]
  coffee = np.asarray(Image.fromarray(data.coffee()).resize((192, 192)))
  pictures = face(50) + [coffee] * 30 + mirrored
  records, verdicts = ingest(write(tmp_path / "a.mp4", pictures))
  assert verdicts == [None, "no_face", None]
  got = [(r["start_frame"], len(r["frames"])) for r in records]
  assert got == [(0, 50), (80, 40)]
  first, last = (r["frames"].mean(axis=0) for r in records)
  assert np.abs(first - last[:, ::-1]).mean() < 25


def test_sound_follows_its_pictures_through_cuts(tmp_path):
  audio = clips.noise(2.4)
  pictures = [*clips.numbered(30), *(255 - clips.numbered(30))]
  path = write(tmp_path / "a.mkv", pictures, audio, audio_codec="pcm_s16le")
  records, _ = ingest(path, faces="whole")
  assert [r["start_frame"] for r in records] == [0, 30]
  got_S = np.concatenate([r["audio"] for r in records])
  assert np.abs(got_S - np.round(audio[0] * 32768)).max() <= 1
  numbers = [clips.number(picture) for picture in records[0]["frames"]]
  assert numbers == list(range(30))


def test_truth_is_that_of_the_frame_shown_when_the_sound_is_late(tmp_path):
  path = write(
    tmp_path / "a.mkv",
    clips.numbered(75),
    clips.noise(2),
    rate=30,
    audio_codec="pcm_s16le",
    audio_start=0.31,
  )
  write_truth(path, np.arange(75) / 30, number=[[i] for i in range(75)])
  records, _ = ingest(path, faces="whole", track_sizes={"number": 1})
  for record in records:
    shown = [clips.number(picture) for picture in record["frames"]]
    np.testing.assert_array_equal(record["tracks/number"][:, 0], shown)
    assert shown[0] >= 9 and record["has/number"]


def test_ten_minutes_become_clips_of_at_most_20_seconds(tmp_path):
  pictures = [np.full((32, 32, 3), 90 + i % 9, np.uint8) for i in range(1200)]
  path = write(
    tmp_path / "a.mkv",
    pictures,
    clips.noise(600, 8_000),
    rate=2,
    audio_codec="pcm_s16le",
    sample_rate=8_000,
  )
  records, verdicts = ingest(path, faces="whole")
  lengths = [len(r["frames"]) for r in records]
  assert max(lengths) <= 500 and abs(sum(lengths) - 15_000) < 13
  assert set(verdicts) == {None}


@pytest.mark.parametrize(
  "tracks, categories", [({"blink": [[0, 1]] * 30}, {}), ({"blink": [[0]]}, {})]
)
def test_truth_that_does_not_fit(tmp_path, tracks, categories):
  path = write(tmp_path / "a.mp4", face(30))
  write_truth(path, np.arange(30) / 25, **tracks)
  _, verdicts = ingest(path, track_sizes={"blink": 1}, categories=categories)
  assert verdicts == ["bad_truth"]


def test_whatever_is_no_video_gives_a_reason(tmp_path):
  path = tmp_path / "a.mp4"
  path.write_bytes(b"\0" * 500)
  assert ingest(path)[1] == ["not_a_video"]
  silent = clips.Clip(face(10), np.arange(10) / 25, None)
  assert ingest(clips.write(path, silent))[1] == ["no_audio"]


def test_random_damage_gives_a_reason_or_a_clip(tmp_path):
  path = write(
    tmp_path / "a.webm",
    clips.numbered(30),
    clips.noise(1.2, 48_000),
    sample_rate=48_000,
    video_codec="libvpx-vp9",
    audio_codec="libopus",
  )
  content = path.read_bytes()
  rng = np.random.default_rng(0)
  for _ in range(40):
    broken = np.frombuffer(content, np.uint8).copy()
    at = rng.integers(0, len(broken), rng.integers(1, 12))
    broken[at] = rng.integers(0, 256, len(at))
    path.write_bytes(broken.tobytes())
    ingest(path, faces="whole")  # whatever comes, no exception
