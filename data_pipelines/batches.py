"""Batches for the talker: which clip, which window, what is left out.

Sample number n of a run is a pure function of (seed, n): epoch by epoch every
clip once, in a new order. Batch k holds the samples k*B .. k*B + B-1, of which
a process makes the rows that its devices need, so neither the number of
processes nor threads changes what is learned from. The position is the step:
an integer.

Dimension key: B batch, T latents, S sink frames, K numbers of a control, F
audio features, h, w, C latent grid and channels, A vectors in a frame.
"""

import functools

import grain
import numpy as np

from data_pipelines.rows import Rows
from data_pipelines.windows import Cut
from eartalk_jax.config import nearest, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.spans import first_made, latents_of
from eartalk_jax.speech.contexts import Reach

# Raise it when the same seed begins to give other samples.
_VERSION = 3
# Datasets up to this size stay in memory once read: a window is small, and to
# read and parse its whole clip each time costs several times the cutting.
_HELD_BYTES = 256 << 20


class TalkerBatches:
  """The batches of one process: see `iterate`.

  Attributes:
    fingerprint: all that the samples depend on.
    skipped: clips left out, being shorter than a window.
  """

  def __init__(
    self,
    dataset,
    data,
    model,
    global_batch,
    seed,
    rows=None,
  ):
    """Reads no record yet.

    Args:
      dataset: an open token dataset (`shards.open_dataset`).
      data: DataConfig.
      model: TalkerConfig: its controls, audio and number of sinks count.
      global_batch: samples in a batch, over all processes.
      seed: of order, windows, sinks and dropping.
      rows: numbers of the rows of every batch that are made here
        (`sharding.local_rows`); all by default.

    Raises:
      UserError: the dataset has no such control, other sizes, or no clip that
        is long enough.
    """
    for control in model.controls:
      _check_control(dataset, control)
    _check_audio(dataset, model.audio)
    clips = _long_clips(dataset, data.frames, model.stride)
    self.skipped = len(dataset.source) - len(clips)
    self.fingerprint = {
      "version": _VERSION,
      "dataset": dataset.fingerprint,
      "seed": seed,
      "global_batch": global_batch,
      "frames": data.frames,
      "sinks": model.sinks,
      "controls": [to_dict(control) for control in model.controls],
      "audio": to_dict(model.audio),
    }
    self._data, self._batch = data, global_batch
    self._rows = list(range(global_batch)) if rows is None else rows
    self._samples = (
      grain.MapDataset.source(_Clips(_reader(dataset), clips))
      .seed(seed)
      .shuffle()
      .repeat()
      .random_map(_cut(dataset, data, model))
    )

  def iterate(self, start_step):
    """Yields the batches of steps start_step, start_step + 1, ...

    Each is {"latents_BThwC", "sink_BShwC" float32, "signals": Signals [B T],
    "portrait": Signals [B]}, with the rows of this process.
    """
    samples = self._samples.map(lambda named: named[1])
    rows = Rows(samples, self._batch, self._rows)
    options = grain.ReadOptions(
      num_threads=self._data.threads,
      prefetch_buffer_size=self._data.prefetch,
    )
    batches = grain.MapDataset.source(rows).batch(len(self._rows))
    yield from batches[start_step:].to_iter_dataset(options)

  def batch_ids(self, step):
    """Names of all samples at a step: (clip id, first latent)."""
    first = step * self._batch
    return [self._samples[first + row][0] for row in range(self._batch)]


def _cut(dataset, data, model):
  audio, silence = model.audio, dataset.manifest["speech"]["silence"]
  silence_AF = np.asarray(silence, np.float32)
  reach = Reach(audio.past, audio.ahead, model.stride, silence_AF)
  return Cut(data.frames, model.controls, audio, model.sinks, reach)


class _Clips:
  """The clips that are long enough, by number."""

  def __init__(self, read, numbers):
    self._read, self._numbers = read, numbers

  def __len__(self):
    return len(self._numbers)

  def __getitem__(self, index):
    return self._read(self._numbers[index])


def _reader(dataset):
  """number -> record; a small dataset is read only once."""
  read = dataset.source.__getitem__
  size = sum(shard["bytes"] for shard in dataset.manifest["shards"])
  return functools.cache(read) if size <= _HELD_BYTES else read


def made_latents(dataset, stride):
  """Of each clip the latents that a stream could have made, as a list.

  Args:
    dataset: of tokens.
    stride: frames of a latent.
  """
  manifest = dataset.manifest
  lengths = [n for shard in manifest["shards"] for n in shard["lengths"]]
  dropped = set(manifest["dropped"])
  lengths = [n for i, n in enumerate(lengths) if i not in dropped]
  return [latents_of(n, stride) - first_made(stride) for n in lengths]


def _long_clips(dataset, latents, stride):
  lengths = made_latents(dataset, stride)
  clips = [i for i, length in enumerate(lengths) if length >= latents]
  if not clips:
    raise UserError(
      f"config: data.frames is {latents}, but the longest of {len(lengths)} "
      f"clips in {dataset.directory} has {max(lengths, default=0)} latent "
      "frames; set it lower or prepare longer clips"
    )
  return clips


def _check_control(dataset, control):
  sizes = dataset.manifest["track_sizes"]
  if control.name not in sizes:
    raise UserError(
      f"config: {dataset.directory} has no track {control.name!r} for the "
      f"control of that name; {nearest(control.name, sizes)}"
    )
  size, what = sizes[control.name], "values"
  if control.kind == "categorical":
    size = len(dataset.manifest["categories"].get(control.name, ()))
    what = "categories"
  if size != control.size:
    raise UserError(
      f"config: control {control.name!r} has size {control.size}, but the "
      f"track in {dataset.directory} has {size} {what}"
    )


def _check_audio(dataset, audio):
  steps, bins = dataset.manifest["speech"]["shape"]
  for name, wanted in (("steps", steps), ("bins", bins)):
    if getattr(audio, name) != wanted:
      raise UserError(
        f"config: model.audio.{name} is {getattr(audio, name)}, but "
        f"{dataset.directory} has speech of {steps} vectors of {bins} numbers "
        f"a frame; set it to {wanted}"
      )
