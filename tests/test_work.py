"""Whatever becomes of the JSON files of a dataset: an error that says so."""

import json

import numpy as np
import pytest
from videos import LIMITS

from data_pipelines import filters, finishing, preparing, shards
from data_pipelines.ingest import Settings
from data_pipelines.rejects import Reject
from eartalk_jax.documents import fits
from eartalk_jax.errors import UserError

SETTINGS = Settings(
  size=16,
  faces="whole",
  longest=20.0,
  track_sizes={"gaze": 2},
  categories={},
)
TEXTS = ["", "{", "[]", "null", "3", "NaN", "[" * 100_000, "\0", "{}"]
VALUES = [None, "x", -1, 1e9, [], {}, [None], [{}], True]


@pytest.fixture
def out(tmp_path):
  """A small dataset of two shards, made without any video."""
  names = ["a.mp4", "b.mp4", "c.mp4"]
  jobs = preparing.make_plan(tmp_path / "in", tmp_path, names, SETTINGS, 2)
  # At the limits, which pass.
  rows = {rule.score: min(rule.default, 9.0) for rule in filters.FILTERS}
  features = preparing.frames_features(SETTINGS)
  for job in jobs:
    record = {
      "clip_id": f"{job.index}",
      "source": "a.mp4",
      "start_frame": 0,
      "frames": np.zeros((25, 16, 16, 3), np.uint8),
      "audio": np.zeros(16_000, np.int16),
      "tracks/gaze": np.zeros((25, 2), np.float32),
      "has/gaze": True,
    }
    entry = shards.write_shard(job.path, features, [record])
    row = {"clip_id": "0", "source": "a.mp4", "scores": rows}
    entry |= {
      "key": "0",
      "rows": [row],
      "rejects": [Reject("no_face").row("b")],
    }
    job.entry_path.parent.mkdir(exist_ok=True)
    job.entry_path.write_text(json.dumps(entry))
  return tmp_path


def use(out):
  """All that reads these files."""
  finishing.finish(out, finishing.select(out, LIMITS))
  names = ["a.mp4", "b.mp4", "c.mp4"]
  preparing.make_plan(out / "in", out, names, SETTINGS, 2)
  shards.open_dataset(out, "frames").source[0]


def damaged(content):
  """The content with one value, at any depth, gone or another."""
  items = content.items() if isinstance(content, dict) else enumerate(content)
  for key, value in items:
    rest = dict(content) if isinstance(content, dict) else list(content)
    del rest[key]
    yield rest
    for other in VALUES:
      changed = content.copy()
      changed[key] = other
      yield changed
    if isinstance(value, (dict, list)):
      for inner in damaged(value):
        changed = content.copy()
        changed[key] = inner
        yield changed


def test_it_works_unharmed(out):
  use(out)
  assert json.loads((out / "manifest.json").read_text())["clips"] == 2


@pytest.mark.parametrize("name", ["plan.json", "shards/00001.json"])
def test_a_damaged_note_is_named_with_a_remedy(out, name):
  path = out / name
  content = json.loads(path.read_text())
  for text in [*TEXTS, *map(json.dumps, damaged(content))]:
    path.write_text(text)
    try:
      finishing.select(out, LIMITS)
    except UserError as error:
      assert "--input" in str(error)
    if name != "plan.json":
      job = preparing.ShardJob("in", str(out), 1, 2, ("c.mp4",), SETTINGS)
      preparing._committed(job)  # no exception: it is made again
  path.unlink()
  with pytest.raises(UserError, match=f"{name}.*--input"):
    finishing.select(out, LIMITS)


def test_a_damaged_manifest_is_named(out):
  use(out)
  path = out / "manifest.json"
  content = json.loads(path.read_text())
  for text in [*TEXTS, *map(json.dumps, damaged(content))]:
    path.write_text(text)
    try:
      shards.read_manifest(out, "frames")
    except UserError as error:
      assert str(out) in str(error)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", '{"splits": 3}'])
def test_damaged_notes_of_tfds_are_named(out, name, text):
  use(out)
  (out / name).write_text(text)
  with pytest.raises(UserError, match="features.json or dataset_info.json"):
    shards.open_dataset(out, "frames")


def test_a_shape_is_what_it_says():
  shape = {"n": int, "x": float, "of": [{str: str}]}
  good = {"n": 1, "x": 2, "of": [{"a": "b"}, {}], "more": None}
  assert fits(good, shape)
  for bad in (
    {"n": True},
    {"n": 1.0},
    {"x": "2"},
    {"of": [{"a": 1}]},
    {"of": {}},
  ):
    assert not fits(good | bad, shape)
  assert not fits({}, shape) and not fits([], shape)
