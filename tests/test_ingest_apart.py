"""What a file does to its process costs that file alone."""

import json
import sys

import clips
import numpy as np
import pytest
from videos import prepare, write_face

from data_pipelines import ingest_apart
from data_pipelines.ingest import Settings
from data_pipelines.shards import open_dataset
from eartalk_jax.errors import UserError

HOSTILE = "hostile_faces:detect"
COLOURS = {
  "a_good": (200, 200, 200),
  "b_ends": (255, 0, 0),
  "c_loops": (0, 255, 0),
  "d_eats": (0, 0, 255),
  "e_good": (128, 128, 128),
  "f_first_time_only": (0, 0, 0),
}
ALL_KEPT = {"min_zoom": 0.0}


def settings(**changes):
  fields = {"size": 32, "faces": "whole", "longest": 20.0}
  fields |= {"track_sizes": {}, "categories": {}}
  return Settings(**(fields | changes))


def paint(folder, *names):
  folder.mkdir(exist_ok=True)
  for name in names:
    pictures = [np.full((64, 64, 3), COLOURS[name], np.uint8)] * 26
    clip = clips.Clip(pictures, np.arange(26) / 25, clips.noise(1.04))
    clips.write(folder / f"{name}.mp4", clip)
  return folder


@pytest.fixture
def impatient(monkeypatch, tmp_path):
  monkeypatch.setattr(ingest_apart, "_SECONDS", 4.0)
  monkeypatch.setattr(ingest_apart, "_MEMORY", 300 << 20)
  # Its environment is that of this test.
  monkeypatch.setattr(ingest_apart, "_children", {})
  monkeypatch.setenv("MARK", str(tmp_path / "mark"))
  yield
  for child in ingest_apart._children.values():
    child.close()


def test_hostile_files_are_rejects_with_names_and_not_tried_again(
  impatient, tmp_path
):
  folder = paint(tmp_path / "in", *COLOURS)
  made, counts = prepare(
    folder, tmp_path / "out", per_shard=9, faces=HOSTILE, limits=ALL_KEPT
  )
  assert made == 1
  assert counts == {None: 3, "crashed": 1, "too_slow": 1, "too_much_memory": 1}
  lines = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
  details = {
    line["source"]: line["detail"]
    for line in map(json.loads, lines)
    if line["reason"]
  }
  assert details == {
    "b_ends.mp4": "was ended by SIGSEGV",
    "c_loops.mp4": "gave no sign of life for 4 s",
    "d_eats.mp4": "took more than 0.3 GiB of memory",
  }
  again, counts = prepare(
    folder, tmp_path / "out", per_shard=9, faces=HOSTILE, limits=ALL_KEPT
  )
  assert (again, counts["crashed"]) == (0, 1)
  source = open_dataset(tmp_path / "out", "frames").source
  names = [source[i]["source"] for i in range(3)]
  assert names == ["a_good.mp4", "e_good.mp4", "f_first_time_only.mp4"]


def test_workers_survive_too(tmp_path):
  folder = paint(tmp_path / "in", "a_good", "b_ends", "e_good")
  options = {"faces": HOSTILE, "limits": ALL_KEPT, "per_shard": 1}
  made, counts = prepare(folder, tmp_path / "out", workers=2, **options)
  assert (made, counts) == (3, {None: 2, "crashed": 1})


def test_a_second_try_gives_no_clip_twice(monkeypatch):
  given = []

  class Child:
    def pieces(self, *args, limits):
      for i in range(5):
        given.append(i)
        if given.count(i) < 2 and i == 3:
          raise ingest_apart.Crash("crashed", "was ended by SIGKILL")
        yield i

  monkeypatch.setattr(ingest_apart, "_children", {"whole": Child()})
  pieces = list(ingest_apart.ingest_apart("a.mp4", "a.mp4", settings()))
  assert pieces == [0, 1, 2, 3, 4]


def test_what_nobody_expected_costs_a_file_and_says_where(monkeypatch):
  def broken(*args):
    yield {}, {"clip_id": "a.mp4:000000"}
    raise ZeroDivisionError("by what")

  monkeypatch.setattr(ingest_apart, "ingest_file", broken)
  _, (record, row) = ingest_apart._ingest("a.mp4", "a.mp4", settings())
  assert record is None and row["reason"] == "unexpected"
  assert (
    "ZeroDivisionError('by what') in test_ingest_apart.py:" in row["detail"]
  )


@pytest.mark.parametrize(
  "faces, said",
  [
    ("hostile_faces:detect_nothing_sane", "is not .x, y, size, score."),
    ("hostile_faces:leave", "SystemExit: two lines"),
    ("hostile_faces:NO_FUNCTION", "is no function"),
    ("hostile_faces:nothing", "has no attribute"),
    ("broken_faces:detect", "ZeroDivisionError"),
    ("hostile:read_nowhere", "SIGSEGV"),
  ],
)
def test_a_detector_that_fails_is_an_error_of_the_user(
  tmp_path, monkeypatch, faces, said
):
  (tmp_path / "broken_faces.py").write_text("1 / 0")
  monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
  monkeypatch.setattr(ingest_apart, "_children", {})
  path = tmp_path / "a.mp4"
  with pytest.raises(UserError, match=said) as info:
    list(ingest_apart.ingest_apart(path, "a.mp4", settings(faces=faces)))
  assert "\n" not in str(info.value)
  assert faces in str(info.value)
  for child in ingest_apart._children.values():
    child.close()


def test_records_are_those_of_the_file_read_here(tmp_path):
  path = write_face(tmp_path / "a.mp4", seconds=1.2)
  here = list(ingest_apart.ingest_file(path, "a.mp4", settings()))
  there = list(ingest_apart.ingest_apart(path, "a.mp4", settings()))
  assert len(here) == len(there) == 1
  assert here[0][1] == there[0][1]
  for key, value in here[0][0].items():
    np.testing.assert_array_equal(there[0][0][key], value)
