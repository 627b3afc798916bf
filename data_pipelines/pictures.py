"""Batches for the tokenizer: random pictures of random clips.

Read number n of a run is a pure function of (seed, n): epoch by epoch every
clip once, in a new order, and of each clip some random frames. Batch k holds
the same pictures in the same order however many processes share it, of which
each makes the rows that its devices need. The position is the step.
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
    per_clip: pictures taken of a clip each time it is read. A clip is read
      whole, so more is faster, and the pictures of a batch are more alike.
    threads: that read ahead of the training.
    prefetch: batches that may wait ready.
  """

  frames: str
  held_out: str = ""
  per_clip: int = 1
  threads: int = 1
  prefetch: int = 4

  def __post_init__(self):
    check_range(self, 1, 10**6, "per_clip", "prefetch")
    check_range(self, 1, 1024, "threads")


class PictureBatches:
  """The batches of one process: see `iterate`.

  Attributes:
    fingerprint: all that the pictures depend on.
  """

  def __init__(self, dataset, data, global_batch, seed, rows=None):
    """Reads no record yet.

    Args:
      dataset: an open frames dataset (`shards.open_dataset`).
      data: PictureConfig.
      global_batch: pictures in a batch, over all processes.
      seed: of order and choice.
      rows: numbers of the rows of every batch that are made here
        (`sharding.local_rows`); all by default.

    Raises:
      UserError: the batch cannot be divided.
    """
    if global_batch % data.per_clip:
      raise UserError(
        f"config: batch_size {global_batch} is not a multiple of "
        f"data.per_clip {data.per_clip}"
      )
    self.fingerprint = {
      "version": _VERSION,
      "dataset": dataset.fingerprint,
      "seed": seed,
      "global_batch": global_batch,
      "per_clip": data.per_clip,
    }
    reads = (
      grain.MapDataset.source(dataset.source)
      .seed(seed)
      .shuffle()
      .repeat()
      .random_map(_Pick(data.per_clip))
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
    """Yields {"pictures_BYX3": uint8} of step start_step and those after."""
    for clips in self._batches[start_step:].to_iter_dataset(self._options):
      pictures_BYX3 = clips.reshape(-1, *clips.shape[2:])
      yield {"pictures_BYX3": pictures_BYX3[self._chosen]}


@dataclasses.dataclass(frozen=True)
class _Pick(grain.transforms.RandomMap):
  """Clip record, generator -> `count` of its frames, with replacement."""

  count: int

  def random_map(self, element, rng):
    frames_TYX3 = element["frames"]
    return np.asarray(
      frames_TYX3[rng.integers(len(frames_TYX3), size=self.count)]
    )
