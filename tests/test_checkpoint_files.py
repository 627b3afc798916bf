"""Odd things below WORKDIR/checkpoints are ignored, or named in a line."""

import json
import shutil

import pytest
from tiny import run_config, train

from eartalk_jax.checkpoints.checkpoint_files import (
  choose_checkpoint,
  committed_steps,
  leftovers,
  numbered,
  remove_leftovers,
  remove_old,
  saved_at,
)
from eartalk_jax.checkpoints.checkpoint_reading import read_data
from eartalk_jax.checkpoints.manifest import find_damage
from eartalk_jax.checkpoints.resumption import parse_start, read_run
from eartalk_jax.errors import UserError


def commit(directory, *steps):
  for step in steps:
    (directory / str(step)).mkdir(parents=True)
    (directory / str(step) / "commit_success.txt").touch()


def test_only_names_of_steps_are_steps(tmp_path):
  names = ["-1", "007", "1e3", "5.0", " 5", "٣", str(2**31), "9" * 200]
  commit(tmp_path, 5, 12, *names)
  assert numbered(tmp_path) == committed_steps(tmp_path) == [5, 12]
  assert numbered(tmp_path / "5" / "commit_success.txt") == []
  assert numbered(tmp_path / "nothing") == []


@pytest.mark.parametrize("odd", ["file", "link to nothing", "link to itself"])
def test_what_is_no_folder_is_no_whole_checkpoint(tmp_path, odd):
  directory = tmp_path / "checkpoints"
  commit(directory, 5)
  newest = directory / "7"
  if odd == "file":
    newest.write_text("7")
  else:
    newest.symlink_to(newest if odd.endswith("itself") else tmp_path / "gone")
  with pytest.raises(UserError, match="7 is not a whole checkpoint.*step 5"):
    choose_checkpoint(tmp_path)


def test_a_step_that_was_moved_and_linked_is_only_unlinked(tmp_path):
  commit(tmp_path / "archive", 5)
  commit(tmp_path / "here", 7, 9)
  (tmp_path / "here" / "5").symlink_to(tmp_path / "archive" / "5")
  remove_old(tmp_path / "here", 1, 0)
  assert committed_steps(tmp_path / "here") == [9]
  assert committed_steps(tmp_path / "archive") == [5]
  torn = tmp_path / "here" / "6.removed"
  torn.symlink_to(tmp_path / "archive")
  remove_leftovers(tmp_path / "here")
  assert not leftovers(tmp_path / "here")
  assert committed_steps(tmp_path / "archive") == [5]


@pytest.mark.parametrize(
  "start",
  ["x@" + "9" * 5000, "@5", "x", "\0@5", "x" * 5000 + "@5", "x@-1", "x@٣"],
  ids=lambda start: start[:9],
)
def test_a_start_that_is_nowhere_is_a_line(start):
  with pytest.raises(UserError, match="WORKDIR@STEP|no step 5|cannot be read"):
    parse_start(start)


RUBBISH = (
  [None, [], {}, 5, {"step": 12}, {"step": 12, "fingerprint": []}]
  + [{"processes": "two"}, {"mesh": [8]}, {"mesh": {"data": -1}}]
  + [{"window": {}}, {"window": [5]}, {"window": [{"loss": 1.0}]}]
  + [{"fingerprint": {}}, {"fingerprint": {"run": {"batch_size": None}}}]
)


def test_a_data_item_that_is_rubbish_is_a_line(tmp_path):
  train(tmp_path, run_config(steps=1))
  source = tmp_path / "checkpoints" / "1"
  (source / "manifest.json").unlink()
  path = source / "data" / "data.json"
  good = json.loads(path.read_text())
  assert read_data(source) == good
  for odd in RUBBISH:
    whole = good | odd if isinstance(odd, dict) and "step" not in odd else odd
    path.write_text(json.dumps({} if odd == {} else whole))
    with pytest.raises(UserError, match="damaged|cannot be read"):
      read_data(source)
  with pytest.raises(UserError, match="1 is damaged: data/"):
    train(tmp_path, run_config(steps=1))
  path.write_text(json.dumps(good))
  moved = shutil.move(source, source.with_name("3"))
  with pytest.raises(UserError, match="3 is step 1 under the name of another"):
    read_data(moved)


ENTRY = {"bytes": 1, "sha256": ""}


@pytest.mark.parametrize(
  "said",
  [[], {}, {"files": []}, {"files": {"a": 5}}, {"files": {"a": {"bytes": 1}}}]
  + [{"files": {name: ENTRY}} for name in ("/etc/passwd", "../x", "a\0b", "")],
  ids=str,
)
def test_a_manifest_that_is_rubbish_is_damage(tmp_path, said):
  (tmp_path / "manifest.json").write_text(json.dumps(said))
  assert find_damage(tmp_path) == ["manifest.json cannot be read"]


@pytest.mark.parametrize("nanoseconds", ["x", None, -1, 10**300, [1]])
def test_a_date_that_is_none_is_not_told(tmp_path, nanoseconds):
  path = tmp_path / "_CHECKPOINT_METADATA"
  path.write_text(json.dumps({"commit_timestamp_nsecs": nanoseconds}))
  assert saved_at(tmp_path) is None


@pytest.mark.parametrize(
  "text",
  ["", "{}", "[]", "[" * 9999, '{"model": {}, "categories": []}']
  + ['{"model": 1, "categories": {}}', '{"model": {}, "categories": {"a": 1}}']
  + ['{"model": {}, "categories": {}, "model": {}}'],
)
def test_a_run_that_says_rubbish_of_itself_is_a_line(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(UserError, match="config.json.*copy it again"):
    read_run(tmp_path)
