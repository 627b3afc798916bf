import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines import shards
from eartalk_jax.errors import UserError

FEATURES = {
  "clip_id": tfds.features.Text(),
  "features": tfds.features.Tensor(
    shape=(None, 4, 2), dtype=np.float32, encoding="bytes"
  ),
  "frames": tfds.features.Tensor(
    shape=(None, 8, 8, 3), dtype=np.uint8, encoding="bytes"
  ),
  "tracks/mouth": tfds.features.Tensor(
    shape=(None, 3), dtype=np.float32, encoding="bytes"
  ),
  "has/mouth": tfds.features.Scalar(np.bool_),
}


def records(count, seed=0, frames=5):
  rng = np.random.default_rng(seed)
  return [
    {
      "clip_id": f"{seed}-{i}",
      "features": rng.standard_normal((frames + i, 4, 2), dtype=np.float32),
      "frames": rng.integers(0, 256, (frames + i, 8, 8, 3), dtype=np.uint8),
      "tracks/mouth": rng.random((frames + i, 3), dtype=np.float32),
      "has/mouth": bool(i % 2),
    }
    for i in range(count)
  ]


def make_dataset(directory, counts=(3, 0, 2), **fields):
  entries = []
  for index, count in enumerate(counts):
    path = shards.shard_path(directory, "frames", index, len(counts))
    entries.append(shards.write_shard(path, FEATURES, records(count, index)))
  manifest = {"kind": "frames", "config": {"size": 8}, "shards": entries}
  manifest |= {"categories": {}, "track_sizes": {}}
  return shards.finish_dataset(directory, FEATURES, manifest | fields)


def test_a_dataset_reads_back_bit_for_bit(tmp_path):
  make_dataset(tmp_path)
  source = shards.open_dataset(tmp_path, "frames").source
  want = records(3, 0) + records(2, 2)
  assert len(source) == len(want)
  for index in (4, 0, 2, 1, 3):
    got = source[index]
    assert set(got) == set(FEATURES)
    assert got["clip_id"] == want[index]["clip_id"]
    for name in ("features", "frames", "tracks/mouth", "has/mouth"):
      np.testing.assert_array_equal(got[name], want[index][name])
      assert np.asarray(got[name]).dtype == np.asarray(want[index][name]).dtype


def test_tfds_alone_reads_it_and_tensorflow_is_not_loaded(tmp_path):
  make_dataset(tmp_path)
  code = (
    "import sys, tensorflow_datasets as tfds\n"
    f"b = tfds.builder_from_directory({os.fspath(tmp_path)!r})\n"
    "s = b.as_data_source(split='all')\n"
    "print(len(s), s[3]['clip_id'].decode(), 'tensorflow' in sys.modules)"
  )
  output = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert output.stdout.split() == ["5", "2-0", "False"]


def test_equal_records_give_equal_bytes(tmp_path):
  one = shards.write_shard(tmp_path / "a", FEATURES, records(3))
  two = shards.write_shard(tmp_path / "b", FEATURES, iter(records(3)))
  assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
  assert one["sha256"] == two["sha256"]
  assert (one["clips"], one["frames"]) == (3, 5 + 6 + 7)


def run_here(code):
  """Runs a line of Python in another process that can import this file."""
  here = pathlib.Path(__file__)
  return subprocess.run(
    [sys.executable, "-c", f"import test_shards as t; {code}"],
    env=os.environ | {"PYTHONPATH": f"{here.parents[1]}:{here.parent}"},
    capture_output=True,
    text=True,
  )


def test_every_process_writes_the_same_bytes(tmp_path):
  entry = shards.write_shard(tmp_path / "a", FEATURES, records(3))
  for name in "bcd":
    path = os.fspath(tmp_path / name)
    output = run_here(
      f"e = t.shards.write_shard({path!r}, t.FEATURES, t.records(3));"
      "print(e['sha256'])"
    )
    assert output.stdout.strip() == entry["sha256"], output.stderr


def test_dropped_records_are_not_seen_and_change_the_fingerprint(tmp_path):
  whole = make_dataset(tmp_path)
  part = make_dataset(tmp_path, dropped=[3, 0])
  dataset = shards.open_dataset(tmp_path, "frames")
  ids = [dataset.source[i]["clip_id"] for i in range(len(dataset.source))]
  assert ids == ["0-1", "0-2", "2-1"]
  assert (part["clips"], part["frames"]) == (3, 6 + 7 + 6)
  assert dataset.fingerprint == part["fingerprint"] != whole["fingerprint"]


def test_a_dataset_without_manifest_is_unfinished(tmp_path):
  make_dataset(tmp_path)
  (tmp_path / "manifest.json").unlink()
  with pytest.raises(UserError, match="no finished frames dataset"):
    shards.open_dataset(tmp_path, "frames")


def test_a_damaged_manifest_and_another_kind_are_named(tmp_path):
  make_dataset(tmp_path)
  with pytest.raises(UserError, match="holds frames.*tokens"):
    shards.open_dataset(tmp_path, "tokens")
  (tmp_path / "manifest.json").write_text("{")
  with pytest.raises(UserError, match="manifest.json: not a JSON file"):
    shards.open_dataset(tmp_path, "frames")


def test_a_missing_short_or_flipped_shard_is_named(tmp_path):
  make_dataset(tmp_path)
  path = shards.shard_path(tmp_path, "frames", 0, 3)
  content = path.read_bytes()
  path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
  with pytest.raises(UserError, match="00000-of-00003 is damaged"):
    shards.open_dataset(tmp_path, "frames")
  shards.open_dataset(tmp_path, "frames", verify=False)
  path.write_bytes(content[:-1])
  with pytest.raises(UserError, match="00000-of-00003 has .* bytes instead"):
    shards.open_dataset(tmp_path, "frames", verify=False)
  path.unlink()
  with pytest.raises(UserError, match="00000-of-00003 is missing"):
    shards.open_dataset(tmp_path, "frames", verify=False)


def test_a_record_that_fails_leaves_nothing_behind(tmp_path):
  def broken():
    yield from records(2)
    raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    shards.write_shard(tmp_path / "a", FEATURES, broken())
  assert not list(tmp_path.iterdir())


def _fill_the_disk(directory):
  """In a process of its own: no file may grow beyond 100 kB."""
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
  try:
    shards.write_shard(
      f"{directory}/frames-7", FEATURES, records(40, frames=200)
    )
  except UserError as error:
    print(f"user error: {error}")


def test_a_full_disk_names_the_shard_and_leaves_nothing(tmp_path):
  output = run_here(f"t._fill_the_disk({os.fspath(tmp_path)!r})")
  assert "user error: cannot write" in output.stdout, output.stderr
  assert "frames-7" in output.stdout
  assert not list(tmp_path.iterdir())


def test_a_template_of_names_that_is_damaged_is_a_line(tmp_path):
  make_dataset(tmp_path)
  info = tmp_path / "dataset_info.json"
  info.write_text(info.read_text().replace("{FILEFORMAT}", "{FILEF}"))
  with pytest.raises(UserError, match="dataset_info.json is damaged .*FILEF"):
    shards.open_dataset(tmp_path, "frames")
