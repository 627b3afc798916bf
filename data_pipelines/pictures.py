"""Batches for the tokenizer: random pictures or pieces of random clips.

Read number n of a run is a pure function of (seed, n): epoch by epoch every
clip once, in a new order, and of each clip some random pieces, of one frame
unless more are asked for. Batch k holds the same pieces in the same order
however many processes share it, of which each makes the rows that its devices
need. The position is the step.

Dimension key: B pieces, N frames of a piece, T frames of a clip, Y X picture.
"""

import dataclasses

import grain
import numpy as np

from data_pipelines.rows import Rows
from eartalk_jax.config import check_range
from eartalk_jax.errors import UserError

# Raise it when the same seed begins to give other pictures.
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class PictureConfig:
  """What to read.

  Attributes:
    frames: directory of a frames dataset.
    held_out: another one, to report PSNR on after training; "" for none.
    per_clip: pieces taken of a clip each time it is read. A clip is read
      whole, so more is faster, and the pieces of a batch are more alike.
    length: frames of a piece, one after another.
    crop: pixels on the side of a random square that is cut out of a piece; 0
      for the whole picture.
    threads: that read ahead of the training.
    prefetch: batches that may wait ready.
  """

  frames: str
  held_out: str = ""
  per_clip: int = 1
  length: int = 1
  crop: int = 0
  threads: int = 1
  prefetch: int = 4

  def __post_init__(self):
    check_range(self, 1, 10**6, "per_clip", "length", "prefetch")
    check_range(self, 0, 65_536, "crop")
    check_range(self, 1, 1024, "threads")


class PictureBatches:
  """The batches of one process: see `iterate`.

  Attributes:
    fingerprint: all that the pieces depend on.
  """

  def __init__(self, dataset, data, global_batch, seed, rows=None):
    """Reads no record yet.

    Args:
      dataset: an open frames dataset (`shards.open_dataset`).
      data: PictureConfig.
      global_batch: pieces in a batch, over all processes.
      seed: of order and choice.
      rows: numbers of the rows of every batch that are made here
        (`sharding.local_rows`); all by default.

    Raises:
      UserError: the batch cannot be divided, or no clip is long enough.
    """
    if global_batch % data.per_clip:
      raise UserError(
        f"config: batch_size {global_batch} is not a multiple of "
        f"data.per_clip {data.per_clip}"
      )
    clips = _long_clips(dataset, data.length)
    self.fingerprint = {
      "version": _VERSION,
      "dataset": dataset.fingerprint,
      "seed": seed,
      "global_batch": global_batch,
      "per_clip": data.per_clip,
    }
    # Runs of before there were pieces go on.
    more = {"length": (data.length, 1), "crop": (data.crop, 0)}
    self.fingerprint |= {
      name: value for name, (value, usual) in more.items() if value != usual
    }
    reads = (
      grain.MapDataset.source(clips)
      .seed(seed)
      .shuffle()
      .repeat()
      .random_map(_Pick(data.per_clip, data.length, data.crop))
    )
    rows = np.arange(global_batch) if rows is None else np.asarray(rows)
    # A read gives per_clip rows; those of another process are left out.
    numbers, places = np.unique(rows // data.per_clip, return_inverse=True)
    self._chosen = places * data.per_clip + rows % data.per_clip
    source = Rows(reads, global_batch // data.per_clip, numbers.tolist())
    self._batches = grain.MapDataset.source(source).batch(len(numbers))
    self._options = grain.ReadOptions(
      num_threads=data.threads, prefetch_buffer_size=data.prefetch
    )

  def iterate(self, start_step):
    """Yields {"clips_BNYX3": uint8} of step start_step and those after."""
    for reads in self._batches[start_step:].to_iter_dataset(self._options):
      clips_BNYX3 = reads.reshape(-1, *reads.shape[2:])
      yield {"clips_BNYX3": clips_BNYX3[self._chosen]}


class _Clips:
  """Some clips of a source."""

  def __init__(self, source, numbers):
    self._source, self._numbers = source, numbers

  def __len__(self):
    return len(self._numbers)

  def __getitem__(self, index):
    return self._source[self._numbers[index]]


def _long_clips(dataset, length):
  """The clips of at least so many frames."""
  manifest = dataset.manifest
  lengths = [n for shard in manifest["shards"] for n in shard["lengths"]]
  dropped = set(manifest["dropped"])
  lengths = [n for i, n in enumerate(lengths) if i not in dropped]
  numbers = [i for i, n in enumerate(lengths) if n >= length]
  if not numbers:
    raise UserError(
      f"config: data.length is {length}, but the longest of {len(lengths)} "
      f"clips in {dataset.directory} has {max(lengths, default=0)} frames; set "
      "it lower or prepare longer clips"
    )
  return _Clips(dataset.source, numbers)


@dataclasses.dataclass(frozen=True)
class _Pick(grain.transforms.RandomMap):
  """Clip record, generator -> `count` of its pieces [B N Y X 3], with repeats.

  Attributes:
    count: B.
    length: N.
    crop: Y and X; 0 for those of the clip.
  """

  count: int
  length: int
  crop: int

  def random_map(self, element, rng):
    frames_TYX3 = element["frames"]
    firsts = rng.integers(len(frames_TYX3) - self.length + 1, size=self.count)
    pieces_BNYX3 = np.stack(
      [frames_TYX3[first : first + self.length] for first in firsts]
    )
    return pieces_BNYX3 if not self.crop else self._cropped(pieces_BNYX3, rng)

  def _cropped(self, pieces_BNYX3, rng):
    room = np.subtract(pieces_BNYX3.shape[2:4], self.crop) + 1
    corners = rng.integers(room, size=(self.count, 2))
    return np.stack(
      [
        piece[:, y : y + self.crop, x : x + self.crop]
        for piece, (y, x) in zip(pieces_BNYX3, corners, strict=True)
      ]
    )
