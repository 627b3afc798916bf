"""Clips are ordinary files, whole, repeatable and true to their truth."""

import dataclasses
import json

import av
import numpy as np
import pytest

from data_pipelines.corpus import speech
from data_pipelines.corpus.clips import PARTS, ClipJob, make_clip
from data_pipelines.corpus.portrait import Portrait
from data_pipelines.corpus.timing import make_timing

SECONDS = 1.0


def job(root, part="train", index=0, **changes):
  made = ClipJob(str(root), 5, part, index, SECONDS)
  return dataclasses.replace(made, **changes)


def truth_of(made):
  return json.loads(made.truth_path.read_text())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Five clips of each part."""
  root = tmp_path_factory.mktemp("corpus")
  jobs = [job(root, part, i) for part in PARTS for i in range(5)]
  for made in jobs:
    make_clip(made)
  return jobs


def test_the_same_job_gives_the_same_bytes(corpus, tmp_path):
  for made in corpus[:2]:
    again = dataclasses.replace(made, root=str(tmp_path))
    make_clip(again)
    assert again.video_path.read_bytes() == made.video_path.read_bytes()
    assert again.truth_path.read_bytes() == made.truth_path.read_bytes()


def test_another_seed_gives_another_clip(corpus, tmp_path):
  other = job(tmp_path, seed=6)
  make_clip(other)
  assert other.video_path.read_bytes() != corpus[0].video_path.read_bytes()
  assert truth_of(other)["sentence"] != truth_of(corpus[0])["sentence"]


def test_sound_and_pictures_begin_together_and_are_equally_long(corpus):
  for made in corpus:
    with av.open(str(made.video_path)) as film:
      picture, sound = film.streams.video[0], film.streams.audio[0]
      assert (picture.codec.name, sound.codec.name) == ("h264", "aac")
      times = [frame.time for frame in film.decode(picture)]
      film.seek(0)
      samples = sum(frame.samples for frame in film.decode(sound))
      lengths = [float(s.duration * s.time_base) for s in (picture, sound)]
      assert times[0] == 0 and sound.start_time == 0
    np.testing.assert_allclose(times, truth_of(made)["times"], atol=1e-5)
    assert abs(lengths[0] - lengths[1]) < 0.02
    assert abs(samples / sound.rate - lengths[1]) < 0.08
    assert abs(lengths[0] - SECONDS) < 0.07


def test_tracks_have_one_row_per_frame_and_the_declared_columns(corpus):
  columns = {"mouth": 3, "pose": 3, "blink": 1, "gaze": 2, "emotion": 1}
  for made in corpus:
    truth = truth_of(made)
    for name, count in columns.items():
      shape = np.array(truth["tracks"][name]).shape
      assert shape == (len(truth["times"]), count)
    assert np.max(truth["tracks"]["emotion"]) < len(
      truth["categories"]["emotion"]
    )


def test_parts_share_no_person_voice_or_sentence(corpus):
  found = {part: {"identity": set(), "voice": set()} for part in PARTS}
  for made in corpus:
    truth = truth_of(made)
    found[made.part]["identity"].add(truth["identity"])
    found[made.part]["voice"].add(truth["voice"].split()[0].split("+")[1])
  for name in ("identity", "voice"):
    assert not found["train"][name] & found["held_out"][name]


def test_the_mouth_does_not_follow_the_loudness(corpus, tmp_path, monkeypatch):
  monkeypatch.setattr(speech, "_SPOKEN_LEVEL", 0.01)
  quiet = job(tmp_path)
  make_clip(quiet)
  assert quiet.video_path.read_bytes() != corpus[0].video_path.read_bytes()
  assert truth_of(quiet) == truth_of(corpus[0])


def test_the_mouth_in_the_file_follows_its_phonemes(corpus):
  closed, opened = [], []
  for made in corpus:
    truth = truth_of(made)
    for time, (opening, *_) in zip(
      truth["times"], truth["tracks"]["mouth"], strict=True
    ):
      for phoneme in truth["phonemes"]:
        inside = phoneme["start"] + 0.02 <= time <= phoneme["end"] - 0.02
        if inside and phoneme["ipa"] in ("m", "b", "p"):
          closed.append(opening)
        if inside and phoneme["ipa"][:1] in ("a", "æ", "ɑ"):
          opened.append(opening)
  assert max(closed) < 0.1
  assert min(opened) > 0.35
  assert np.mean(opened) > 0.7


def test_a_clip_that_fails_leaves_no_video(tmp_path, monkeypatch):
  drawn = []

  def draw(self, *args):
    drawn.append(args)
    if len(drawn) == 10:
      raise KeyboardInterrupt
    return original(self, *args)

  original = Portrait.draw
  monkeypatch.setattr(Portrait, "draw", draw)
  with pytest.raises(KeyboardInterrupt):
    make_clip(job(tmp_path))
  assert not job(tmp_path).is_finished
  assert [p.name for p in (tmp_path / "train").iterdir()] == [
    "clip_0000.truth.json"
  ]


def test_frame_rates_vary_and_some_are_irregular():
  rates, irregular = set(), 0
  for seed in range(80):
    timing = make_timing(np.random.default_rng(seed), 4.0)
    gaps = np.diff(timing.times_T)
    irregular += np.ptp(gaps) > 0.005
    rates.add(round(float(timing.rate), 3))
    assert gaps.min() > 0.015 and gaps.max() < 0.07
    assert abs(timing.seconds - 4) < 0.07
  assert rates == {23.976, 24, 25, 29.97, 30, 50}
  assert 5 < irregular < 30
