"""Batches for the tokenizer: random pictures of random clips.

Read number n of a run is a pure function of (seed, n): epoch by epoch every
clip once, in a new order, and of each clip some random frames. Batch k holds
the same pictures however many processes share it. The position is the step.
"""

import dataclasses

import grain
import numpy as np

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

  def __init__(
    self, dataset, data, global_batch, seed, process_index=0, process_count=1
  ):
    """Reads no record yet.

    Args:
      dataset: an open frames dataset (`shards.open_dataset`).
      data: PictureConfig.
      global_batch: pictures in a batch, over all processes.
      seed: of order and choice.
      process_index: which part of every batch is made here.
      process_count: how many parts there are.

    Raises:
      UserError: the batch cannot be divided.
    """
    if global_batch % (process_count * data.per_clip):
      raise UserError(
        f"config: batch_size {global_batch} is not a multiple of "
        f"data.per_clip {data.per_clip} x {process_count} processes"
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
    rows = global_batch // data.per_clip // process_count
    self._batches = reads[process_index::process_count].batch(rows)
    self._options = grain.ReadOptions(
      num_threads=data.threads, prefetch_buffer_size=data.prefetch
    )

  def iterate(self, start_step):
    """Yields {"pictures_BYX3": uint8} of step start_step and those after."""
    for clips in self._batches[start_step:].to_iter_dataset(self._options):
      yield {"pictures_BYX3": clips.reshape(-1, *clips.shape[2:])}


@dataclasses.dataclass(frozen=True)
class _Pick(grain.transforms.RandomMap):
  """Clip record, generator -> `count` of its frames, with replacement."""

  count: int

  def random_map(self, element, rng):
    frames_TYX3 = element["frames"]
    return np.asarray(
      frames_TYX3[rng.integers(len(frames_TYX3), size=self.count)]
    )
