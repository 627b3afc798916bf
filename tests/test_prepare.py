import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from videos import LIMITS, make_folder, prepare, shard_bytes, write_face

from data_pipelines import finishing, shards
from data_pipelines.finding import find_media
from eartalk_jax import files
from eartalk_jax.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return make_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
  out = tmp_path_factory.mktemp("out") / "frames"
  made, counts = prepare(folder, out)
  assert made == 2
  assert counts == {None: 3, "not_a_video": 1}
  return out


def copy(prepared, tmp_path):
  return pathlib.Path(shutil.copytree(prepared, tmp_path / "copy"))


def test_records_hold_what_they_promise(prepared):
  source = shards.open_dataset(prepared, "frames").source
  assert len(source) == 3
  for i in range(3):
    record = source[i]
    frames = len(record["frames"])
    assert record["frames"].shape == (frames, 32, 32, 3)
    assert len(record["audio"]) == frames * 640
    assert record["tracks/gaze"].shape == (frames, 2)
    assert record["tracks/blink"].shape == (frames, 1)
    assert record["clip_id"] == f"{record['source']}:000000"


def test_truth_is_that_of_the_frame_shown(prepared):
  source = shards.open_dataset(prepared, "frames").source
  records = {source[i]["source"]: source[i] for i in range(3)}
  gaze_T2 = records["deep/a.mp4"]["tracks/gaze"]
  shown_T = np.round(gaze_T2[:, 0] * 60) / 30
  assert np.abs(shown_T - np.arange(50) / 25).max() <= 1 / 60 + 1e-6
  has = {n: (r["has/gaze"], r["has/blink"]) for n, r in records.items()}
  assert has == {
    "b.mkv": (False, True),
    "c.mp4": (False, False),
    "deep/a.mp4": (True, True),
  }
  assert np.all(records["b.mkv"]["tracks/blink"] == 1)
  assert np.all(records["b.mkv"]["tracks/gaze"] == 0)


def test_tfds_alone_opens_it(prepared):
  source = tfds.builder_from_directory(prepared).as_data_source(split="all")
  assert len(source) == 3
  assert source[0]["frames"].dtype == np.uint8


def test_the_crop_holds_the_whole_head(prepared):
  source = shards.open_dataset(prepared, "frames").source
  row = json.loads((prepared / "scores.jsonl").read_text().splitlines()[0])
  # The face square is 105 of the photo's pixels, 78 of the video's.
  assert row["scores"]["zoom"] * 32 == pytest.approx(2 * 78, rel=0.2)
  assert row["scores"]["face_gap"] == 0
  assert row["scores"]["second_face"] == 0
  assert 0 < row["scores"]["motion"] < 20
  assert source[0]["frames"].std() > 30


def test_a_rerun_skips_everything_and_changes_nothing(folder, prepared):
  before = shard_bytes(prepared), (prepared / "manifest.json").read_bytes()
  made, _ = prepare(folder, prepared)
  assert made == 0
  assert before == (
    shard_bytes(prepared),
    (prepared / "manifest.json").read_bytes(),
  )


def test_two_processes_make_the_same_bytes(folder, prepared, tmp_path):
  made, _ = prepare(folder, tmp_path / "out", workers=2)
  assert made == 2
  assert shard_bytes(tmp_path / "out") == shard_bytes(prepared)


@pytest.mark.parametrize("harm", ["flip", "remove", "forget", "leftover"])
def test_what_is_harmed_is_made_again(folder, prepared, tmp_path, harm):
  out = copy(prepared, tmp_path)
  path = shards.shard_path(out, "frames", 1, 2)
  want = path.read_bytes()
  if harm == "flip":
    path.write_bytes(want[:90] + bytes([want[90] ^ 4]) + want[91:])
    with pytest.raises(UserError, match="00001-of-00002 is damaged"):
      shards.open_dataset(out, "frames")
  elif harm == "remove":
    path.unlink()
  elif harm == "forget":
    (out / "shards" / "00001.json").unlink()
  else:
    path.rename(out / f".{path.name}.1234.tmp")
  made, _ = prepare(folder, out)
  assert made == 1
  assert path.read_bytes() == want
  assert not list(out.glob(".*.tmp"))
  shards.open_dataset(out, "frames")


def test_only_the_shard_of_a_changed_file_is_made_again(
  folder, prepared, tmp_path
):
  source = shutil.copytree(folder, tmp_path / "videos")
  out = copy(prepared, tmp_path)
  write_face(source / "c.mp4", seconds=1.0)
  made, _ = prepare(source, out)
  assert made == 1
  lengths = [
    len(r["frames"]) for r in shards.open_dataset(out, "frames").source
  ]
  assert sorted(lengths) == [25, 30, 50]


def test_other_files_or_settings_are_refused(folder, prepared, tmp_path):
  source = shutil.copytree(folder, tmp_path / "videos")
  out = copy(prepared, tmp_path)
  with pytest.raises(UserError, match="begun with size 32, not 64"):
    prepare(folder, out, size=64)
  with pytest.raises(UserError, match="begun with files_per_shard 2, not 3"):
    prepare(folder, out, per_shard=3)
  shutil.copy(source / "c.mp4", source / "e.mp4")
  with pytest.raises(UserError, match="1 are new, 0 are gone, such as e.mp4"):
    prepare(source, out)
  with pytest.raises(UserError, match="holds something else"):
    prepare(folder, source)
  shards.open_dataset(out, "frames")


def test_filters_are_applied_anew_without_the_videos(prepared, tmp_path):
  out = copy(prepared, tmp_path)
  before = shard_bytes(out)
  selection = finishing.select(out, LIMITS | {"min_seconds": 1.5})
  manifest = finishing.finish(out, selection)
  assert manifest["clips"] == 1
  assert manifest["rejects"] == {"not_a_video": 1, "too_short": 2}
  dataset = shards.open_dataset(out, "frames")
  assert [record["source"] for record in dataset.source] == ["deep/a.mp4"]
  assert shard_bytes(out) == before
  again = finishing.finish(out, finishing.select(out, LIMITS))
  assert again["clips"] == 3
  whole = shards.open_dataset(prepared, "frames")
  assert again["fingerprint"] == whole.fingerprint != manifest["fingerprint"]


def test_nothing_kept_is_an_error_that_says_why(prepared, tmp_path):
  out = copy(prepared, tmp_path)
  selection = finishing.select(out, LIMITS | {"min_seconds": 9})
  with pytest.raises(UserError, match="nothing was kept .*3 too_short"):
    finishing.finish(out, selection)
  with pytest.raises(UserError, match="no finished frames dataset"):
    shards.open_dataset(out, "frames")


def test_an_empty_or_missing_folder_is_an_error(tmp_path):
  with pytest.raises(UserError, match="holds no .mp4"):
    find_media(tmp_path)
  with pytest.raises(UserError, match="is no folder"):
    find_media(tmp_path / "nowhere")
  with pytest.raises(UserError, match="plan.json: cannot be read"):
    finishing.select(tmp_path, LIMITS)


def test_a_full_disk_names_the_shard_and_a_rerun_goes_on(
  folder, prepared, tmp_path, monkeypatch
):
  out = tmp_path / "out"
  sync = os.fsync
  calls = []

  def full(descriptor):
    name = os.readlink(f"/proc/self/fd/{descriptor}")
    if "00001-of-00002" in name and not calls:
      calls.append(name)
      raise OSError(28, "No space left on device")
    sync(descriptor)

  monkeypatch.setattr(files.os, "fsync", full)
  with pytest.raises(UserError, match="00001-of-00002: No space left"):
    prepare(folder, out)
  assert calls
  assert [p.name for p in out.glob("*clips*")] == [
    shards.shard_path(out, "frames", 0, 2).name
  ]
  assert not list(out.glob(".*"))
  made, _ = prepare(folder, out)
  assert made == 1
  assert shard_bytes(out) == shard_bytes(prepared)
