"""Small frames datasets for tests: discs that move over a coloured ground."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import shards

SIZE = 16


def draw(rng, frames):
  """A disc on a plain ground, uint8 [T Y X 3]."""
  ground, disc = rng.uniform(0, 255, (2, 3))
  grid = np.stack(np.mgrid[:SIZE, :SIZE], -1).astype(float)
  middle_T2 = rng.uniform(4, SIZE - 4, (frames, 2))
  distance_TYX = np.linalg.norm(grid - middle_T2[:, None, None], axis=-1)
  cover_TYX = np.clip(rng.uniform(3, 6) - distance_TYX, 0, 1)[..., None]
  return (ground + (disc - ground) * cover_TYX).astype(np.uint8)


def record(number, frames=6, seed=0):
  """One clip's record, as ingest writes it."""
  rng = np.random.default_rng([seed, number])
  return {
    "clip_id": f"clip-{number}",
    "source": f"{number}.mp4",
    "start_frame": 0,
    "frames": draw(rng, frames),
    "audio": rng.integers(-9000, 9000, 640 * frames).astype(np.int16),
    "tracks/mouth": rng.uniform(size=(frames, 3)).astype(np.float32),
    "has/mouth": True,
  }


def write_frames(directory, lengths=((6, 7), (5,), (3, 4, 9)), dropped=()):
  """Writes a frames dataset; `lengths` are those of the clips of each shard."""

  def tensor(dtype, *shape):
    return tfds.features.Tensor(dtype=dtype, shape=shape, encoding="bytes")

  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  features = {
    "clip_id": tfds.features.Text(),
    "source": tfds.features.Text(),
    "start_frame": np.int64,
    "frames": tensor(np.uint8, None, SIZE, SIZE, 3),
    "audio": tensor(np.int16, None),
    "tracks/mouth": tensor(np.float32, None, 3),
    "has/mouth": np.bool_,
  }
  entries, number = [], 0
  for index, shard in enumerate(lengths):
    path = shards.shard_path(directory, "frames", index, len(lengths))
    records = [record(number + i, n) for i, n in enumerate(shard)]
    entries.append(shards.write_shard(path, features, records))
    number += len(shard)
  manifest = {
    "kind": "frames",
    "config": {"size": SIZE},
    "shards": entries,
    "dropped": dropped,
    "categories": {},
    "track_sizes": {"mouth": 3},
  }
  shards.finish_dataset(directory, features, manifest)
  return shards.open_dataset(directory, "frames")
