"""Datasets on disk: ArrayRecord shards with TFDS metadata and a manifest.

  DIR/frames-clips.array_record-00000-of-00004 ...   one record is one clip
  DIR/features.json, DIR/dataset_info.json           what TFDS needs to read it
  DIR/manifest.json                                  written last: all is there

The manifest says how the dataset was made and lists every shard with its size
and sha256. `dropped` in it names records that a filter left out: TFDS still
shows them, `open_dataset` does not.
"""

import contextlib
import dataclasses
import os
import pathlib

import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import (
  dataset_info,
  example_serializer,
  file_adapters,
  utils,
)

from eartalk_jax import files
from eartalk_jax.documents import fits, read_shaped
from eartalk_jax.errors import UserError

VERSION = 2
# TFDS keeps the name "all" for the union of splits, which this one is.
_SPLIT = "clips"
# Of a shard, in the manifest.
ENTRY = {
  "name": str,
  "clips": int,
  "lengths": [int],
  "frames": int,
  "bytes": int,
  "sha256": str,
}
_MANIFEST = {
  "config": dict,
  "categories": {str: [str]},
  "track_sizes": {str: int},
  "fingerprint": str,
  "dropped": [int],
  "shards": [ENTRY],
}
_MAKERS = {"frames": "prepare", "tokens": "tokenize"}  # commands
# One record per group: what random access by clip wants.
_WRITER_OPTIONS = "group_size:1"


@dataclasses.dataclass(frozen=True)
class Dataset:
  """An opened dataset.

  Attributes:
    directory: where it is.
    manifest: the parsed manifest.json.
    source: random access, `len(source)` and `source[i]` -> dict of numpy
      arrays, numbers and strings, with flat keys such as "tracks/mouth".
  """

  directory: pathlib.Path
  manifest: dict
  source: "Source"

  @property
  def fingerprint(self):
    """Hash of the configuration, the content and the filter."""
    return self.manifest["fingerprint"]


class Source:
  """The records that no filter dropped, by number."""

  def __init__(self, records, indices):
    self._records, self._indices = records, indices

  def __len__(self):
    return len(self._indices)

  def __getitem__(self, index):
    record = self._records[self._indices[index]]
    return {
      name: value.decode() if isinstance(value, bytes) else value
      for name, value in record.items()
    }


def shard_path(directory, kind, index, count):
  """The name that TFDS expects of shard `index` of `count`."""
  name = f"{kind}-{_SPLIT}.array_record-{index:05d}-of-{count:05d}"
  return pathlib.Path(directory) / name


def write_shard(path, features, records):
  """Writes one shard atomically; equal records give equal bytes.

  Args:
    path: see `shard_path`.
    features: flat dict of name -> tfds feature; "frames" or "features" [T, ...]
      is among them.
    records: iterable of dicts with those names.

  Returns:
    The shard's manifest entry: name, clips, lengths (frames of each clip),
    frames, bytes, sha256.

  Raises:
    UserError: the disk is full or not writable; nothing is left behind.
  """
  path = pathlib.Path(path)
  with files.replacing(path) as temporary:
    lengths = _write_records(temporary, features, records)
    digest = files.sha256_of_file(temporary)
    size = temporary.stat().st_size
  return {
    "name": path.name,
    "clips": len(lengths),
    "lengths": lengths,
    "frames": sum(lengths),
    "bytes": size,
    "sha256": digest,
  }


def _write_records(path, features, records):
  """Writes an ArrayRecord file; returns the frames of each record."""
  features = tfds.features.FeaturesDict(features)
  serializer = example_serializer.ExampleSerializer(
    features.get_serialized_info()
  )
  writer = array_record_module.ArrayRecordWriter(
    os.fspath(path), _WRITER_OPTIONS
  )
  lengths = []
  for record in records:
    lengths.append(len(record["frames" if "frames" in record else "features"]))
    example = serializer.get_tf_example(features.encode_example(record))
    # Or else the order of the fields differs from process to process.
    content = example.SerializeToString(deterministic=True)
    with _disk_errors():
      writer.write(content)
  with _disk_errors():
    writer.close()
  _check_written(path, len(lengths))
  return lengths


@contextlib.contextmanager
def _disk_errors():
  """The ArrayRecord writer reports a full disk as RuntimeError."""
  try:
    yield
  except RuntimeError as error:
    raise OSError(str(error)) from error


def _check_written(path, count):
  reader = array_record_module.ArrayRecordReader(os.fspath(path))
  if reader.num_records() != count:
    raise OSError(f"wrote {reader.num_records()} of {count} records")


def finish_dataset(directory, features, manifest):
  """Writes the TFDS metadata and then manifest.json, which completes DIR.

  Args:
    directory: where all the shards are.
    features: as given to `write_shard`.
    manifest: dict with "kind", "config", "shards" (entries in order) and
      whatever else the dataset's readers need; "dropped" (record numbers,
      optional). Added here: version, clips, frames, fingerprint.

  Returns:
    The complete manifest.
  """
  directory = pathlib.Path(directory)
  shards = manifest["shards"]
  dropped = set(manifest.get("dropped", ()))
  lengths = [length for shard in shards for length in shard["lengths"]]
  kept = [n for i, n in enumerate(lengths) if i not in dropped]
  identity = [manifest["kind"], manifest["config"], sorted(dropped)]
  identity += [shard["sha256"] for shard in shards]
  manifest = manifest | {
    "version": VERSION,
    "dropped": sorted(dropped),
    "clips": len(kept),
    "frames": sum(kept),
    "fingerprint": files.sha256_of_json(identity),
  }
  _write_tfds_metadata(directory, features, manifest)
  files.write_json(directory / "manifest.json", manifest)
  return manifest


def _write_tfds_metadata(directory, features, manifest):
  info = dataset_info.DatasetInfo(
    builder=dataset_info.DatasetIdentity(
      name=manifest["kind"],
      version=utils.Version("1.0.0"),
      data_dir=os.fspath(directory),
      module_name="",
    ),
    features=tfds.features.FeaturesDict(features),
  )
  info.set_file_format(file_adapters.FileFormat.ARRAY_RECORD)
  split = tfds.core.SplitInfo(
    name=_SPLIT,
    shard_lengths=[shard["clips"] for shard in manifest["shards"]],
    num_bytes=sum(shard["bytes"] for shard in manifest["shards"]),
    filename_template=tfds.core.ShardedFileTemplate(
      data_dir=directory,
      dataset_name=manifest["kind"],
      split=_SPLIT,
      filetype_suffix="array_record",
    ),
  )
  info.set_splits(tfds.core.splits.SplitDict([split]))
  info.write_to_directory(directory)


def read_manifest(directory, kind):
  """The manifest of a finished dataset of that kind.

  Raises:
    UserError: there is none, or it is of another kind or version.
  """
  path = pathlib.Path(directory) / "manifest.json"
  if not path.exists():
    raise UserError(
      f"{directory} is no finished {kind} dataset (it has no manifest.json); "
      "run the command that makes it, again if it was interrupted"
    )
  remedy = "run the command that made it again"
  manifest = read_shaped(path, {"kind": str, "version": int}, remedy)
  if manifest["kind"] != kind or manifest["version"] != VERSION:
    raise UserError(
      f"{directory} holds {manifest['kind']} version {manifest['version']}, "
      f"but {kind} version {VERSION} is needed; give another folder, or make "
      f"it anew in one: python -m launch.{_MAKERS[kind]}"
    )
  if not fits(manifest, _MANIFEST):
    raise UserError(f"{path} is damaged; {remedy}")
  return manifest


def open_dataset(directory, kind, verify=True):
  """Opens a finished dataset, without TensorFlow.

  Args:
    directory: the dataset.
    kind: "frames" or "tokens".
    verify: True reads every shard once and compares its sha256; False
      compares sizes only, for datasets too large to be read at each start.

  Raises:
    UserError: unfinished, of another kind, or a shard is missing or changed.
  """
  directory = pathlib.Path(directory)
  manifest = read_manifest(directory, kind)
  for shard in manifest["shards"]:
    problem = shard_problem(directory, shard, verify)
    if problem:
      raise UserError(
        f"{directory / shard['name']} {problem}; delete it and run the "
        "command that made this dataset again"
      )
  with _tfds_errors(directory):
    builder = tfds.builder_from_directory(directory)
    records = builder.as_data_source(split=_SPLIT)
  dropped = set(manifest["dropped"])
  indices = [i for i in range(len(records)) if i not in dropped]
  return Dataset(directory, manifest, Source(records, indices))


def open_builder(directory):
  """The TFDS builder of a finished dataset.

  Raises:
    UserError: TFDS cannot read what it wrote about it.
  """
  with _tfds_errors(directory):
    return tfds.builder_from_directory(directory)


@contextlib.contextmanager
def _tfds_errors(directory):
  try:
    yield
  except Exception as error:  # its readers fail in many ways
    text = " ".join(str(error).split())
    raise UserError(
      f"{directory}: its features.json or dataset_info.json is damaged "
      f"({text:.200}); run the command that made this dataset again"
    ) from None


def shard_problem(directory, shard, verify=True):
  """What is wrong with a shard on disk, in words; None if it is as written."""
  path = pathlib.Path(directory) / shard["name"]
  if not path.is_file():
    return "is missing"
  size = path.stat().st_size
  if size != shard["bytes"]:
    return f"has {size} bytes instead of {shard['bytes']}"
  if verify and files.sha256_of_file(path) != shard["sha256"]:
    return "is damaged (its sha256 differs from the manifest)"
  return None
