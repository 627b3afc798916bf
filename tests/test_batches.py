"""The samples of a run depend on (seed, step) and nothing else."""

import dataclasses
import hashlib
import itertools

import jax
import numpy as np
import pytest
from talkers import TINY
from tokens import BINS, write_tokens

from data_pipelines import batches as batches_module
from data_pipelines.batches import TalkerBatches
from data_pipelines.shards import open_dataset
from data_pipelines.windows import keep, sink_portrait
from eartalk_jax.errors import UserError
from eartalk_jax.models.config import AudioConfig, ControlConfig
from eartalk_jax.speech.mel import SILENCE
from eartalk_jax.training.train_config import DataConfig
from eartalk_jax.trees import path_name

FRAMES = 6
AUDIO = AudioConfig(past=2, ahead=1, steps=4, bins=BINS, tokens=1, drop=0.2)
CONTROLS = (
  ControlConfig("pose", "continuous", 3, 0.3),
  ControlConfig("blink", "continuous", 1, 0.0),
  ControlConfig("emotion", "categorical", 3, 0.3),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  directory = tmp_path_factory.mktemp("tokens")
  lengths = (20, 6, 9, 15, 20, 5, 12, 7)
  return open_dataset(write_tokens(directory, lengths), "tokens")


def model(**changes):
  settings = {"controls": CONTROLS, "audio": AUDIO} | changes
  return dataclasses.replace(TINY, **settings)


def batches(dataset, batch=4, seed=0, rows=None, sinks=1, **changes):
  data = dataclasses.replace(DataConfig("", FRAMES), **changes)
  return TalkerBatches(dataset, data, model(sinks=sinks), batch, seed, rows)


def take(loader, start, count):
  return list(itertools.islice(loader.iterate(start), count))


def digests(batch):
  """One of each row."""
  rows = zip(*flat(batch).values(), strict=True)
  return [
    hashlib.sha256(b"".join(x.tobytes() for x in r)).hexdigest() for r in rows
  ]


def flat(batch):
  leaves, _ = jax.tree.flatten_with_path(batch)
  return {path_name(path): leaf for path, leaf in leaves}


def assert_equal(one, other):
  for a, b in zip(one, other, strict=True):
    assert flat(a).keys() == flat(b).keys()
    for name, value in flat(a).items():
      np.testing.assert_array_equal(value, flat(b)[name], err_msg=name)


@pytest.mark.parametrize("held", [True, False])
def test_only_a_small_dataset_is_read_once(dataset, monkeypatch, held):
  expected = take(batches(dataset), 0, 6)
  reads = []

  class Counted:
    def __len__(self):
      return len(dataset.source)

    def __getitem__(self, index):
      reads.append(index)
      return dataset.source[index]

  size = sum(shard["bytes"] for shard in dataset.manifest["shards"])
  monkeypatch.setattr(batches_module, "_HELD_BYTES", size if held else size - 1)
  counted = dataclasses.replace(dataset, source=Counted())
  # Three epochs of the seven clips that are long enough.
  assert_equal(take(batches(counted), 0, 6), expected)
  assert (len(reads) == len(set(reads))) == held


def test_a_batch_has_the_promised_shapes_and_types(dataset):
  batch = flat(take(batches(dataset), 0, 1)[0])
  features = (2 + 1 + 1) * 4 * BINS
  expected = {
    "latents_BThwC": ((4, FRAMES, 2, 2, 3), np.float32),
    "sink_BShwC": ((4, 1, 2, 2, 3), np.float32),
  }
  numbers = {"audio": features, "controls/pose": 3}
  numbers |= {"controls/blink": 1, "controls/emotion": 1}
  for signals, lead in (("signals", (4, FRAMES)), ("portrait", (4,))):
    for name, count in numbers.items():
      # Portraits have no audio.
      count = 0 if (signals, name) == ("portrait", "audio") else count
      expected[f"{signals}/{name}/value"] = ((*lead, count), np.float32)
      expected[f"{signals}/{name}/given"] = (lead, bool)
  found = {name: (a.shape, a.dtype) for name, a in batch.items()}
  assert found == expected


@pytest.mark.parametrize(
  "parts", [[[0, 1, 2, 3]], [[0, 1], [2, 3]], [[0], [1, 2, 3]]]
)
def test_who_makes_a_row_changes_nothing(dataset, parts):
  whole = take(batches(dataset), 0, 5)
  loaders = [batches(dataset, rows=rows) for rows in parts]
  parts = [[flat(b) for b in take(loader, 0, 5)] for loader in loaders]
  for step, batch in enumerate(whole):
    for name, value in flat(batch).items():
      rows = np.concatenate([part[step][name] for part in parts])
      np.testing.assert_array_equal(rows, value)
    ids = batches(dataset).batch_ids(step)
    assert all(loader.batch_ids(step) == ids for loader in loaders)


@pytest.mark.parametrize("changes", [{"threads": 4}, {"prefetch": 1}])
def test_threads_and_prefetch_change_nothing(dataset, changes):
  assert_equal(
    take(batches(dataset), 0, 6), take(batches(dataset, **changes), 0, 6)
  )


def test_resuming_at_a_step_is_continuing(dataset):
  whole = take(batches(dataset), 0, 9)
  assert_equal(whole[5:], take(batches(dataset), 5, 4))


def test_another_seed_gives_other_samples(dataset):
  one = [batches(dataset, seed=0).batch_ids(k) for k in range(4)]
  other = [batches(dataset, seed=1).batch_ids(k) for k in range(4)]
  assert one != other
  first, second = batches(dataset, seed=0), batches(dataset, seed=1)
  assert first.fingerprint != second.fingerprint


def test_each_epoch_has_every_long_clip_once_in_another_order(dataset):
  loader = batches(dataset, batch=7)
  assert loader.skipped == 1  # the clip of 5 frames
  epochs = [[clip for clip, _ in loader.batch_ids(k)] for k in range(4)]
  long = sorted(f"clip{i}" for i in (0, 1, 2, 3, 4, 6, 7))
  assert all(sorted(epoch) == long for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) > 1


def test_windows_are_cut_where_the_id_says_and_sinks_elsewhere(dataset):
  loader = batches(dataset, batch=7)
  lengths = dict(enumerate((20, 6, 9, 15, 20, 5, 12, 7)))
  for step, batch in enumerate(take(loader, 0, 6)):
    for row, (clip, start) in enumerate(loader.batch_ids(step)):
      frames = batch["latents_BThwC"][row, :, 0, 0, 0]
      np.testing.assert_array_equal(frames, start + np.arange(FRAMES))
      sink = batch["sink_BShwC"][row, 0, 0, 0, 0]
      length = lengths[int(clip.removeprefix("clip"))]
      assert 0 <= sink < length
      assert length == FRAMES or sink not in frames


def test_more_sinks_change_nothing_else(dataset):
  one, three = batches(dataset), batches(dataset, sinks=3)
  assert one.fingerprint != three.fingerprint
  for single, several in zip(take(one, 0, 3), take(three, 0, 3), strict=True):
    assert several["sink_BShwC"].shape[:2] == (4, 3)
    first = several.pop("sink_BShwC")[:, :1]
    np.testing.assert_array_equal(first, single.pop("sink_BShwC"))
    jax.tree.map(np.testing.assert_array_equal, single, several)


def test_the_sinks_controls_are_those_of_its_frame_or_unknown(dataset):
  given = []
  for batch in take(batches(dataset), 0, 20):
    sink_B = batch["sink_BShwC"][:, 0, 0, 0, 0]
    pose = batch["portrait"]["pose"]
    expected_BK = np.where(pose.given, sink_B % 3, 0)[:, None]
    np.testing.assert_array_equal(pose.value, expected_BK.repeat(3, 1))
    given += list(pose.given)
  assert 0.5 < np.mean(given) < 1


def test_audio_sees_beyond_the_window_and_silence_beyond_the_clip(dataset):
  loader = batches(dataset, batch=7)
  lengths = (20, 6, 9, 15, 20, 5, 12, 7)
  batch = take(loader, 0, 1)[0]
  for row, (clip, start) in enumerate(loader.batch_ids(0)):
    length = lengths[int(clip.removeprefix("clip"))]
    shape = (FRAMES, 4, 4 * BINS)
    audio = batch["signals"].audio
    audio_TPF = audio.value[row].reshape(shape)
    for t in np.flatnonzero(audio.given[row]):
      for place, frame in enumerate(range(start + t - 2, start + t + 2)):
        inside = 0 <= frame < length
        assert np.all(audio_TPF[t, place] == (frame if inside else SILENCE))


def test_what_a_clip_lacks_or_a_drop_removed_is_zero_and_not_given(dataset):
  loader = batches(dataset, batch=7)
  for step, batch in enumerate(take(loader, 0, 6)):
    for row, (clip, _) in enumerate(loader.batch_ids(step)):
      odd = int(clip.removeprefix("clip")) % 2
      assert np.all(batch["signals"]["blink"].given[row] != odd)
    for name in ("audio", "pose", "blink", "emotion"):
      signal = batch["signals"][name]
      assert not signal.value[~signal.given].any()


def test_drops_come_at_their_rate_and_half_of_them_are_whole():
  rng = np.random.default_rng(0)
  masks = np.array([keep(10, 0.3, rng) for _ in range(20_000)])
  touched = ~masks.all(axis=1)
  assert abs(touched.mean() - 0.3) < 0.01
  whole = ~masks.any(axis=1)
  # A span may happen to be whole, too: once in ten.
  assert abs(whole.mean() - 0.3 * (0.5 + 0.05)) < 0.01
  edges = np.abs(np.diff(masks[touched].astype(int), axis=1)).sum(axis=1)
  assert edges.max() == 2, "one span only"


def test_the_sink_is_uniform_outside_of_the_window():
  rng = np.random.default_rng(0)
  frames_R, window = np.arange(10), slice(3, 7)
  found = [sink_portrait(frames_R, window, rng) for _ in range(6_000)]
  values, counts = np.unique(found, return_counts=True)
  assert list(values) == [0, 1, 2, 7, 8, 9]
  assert counts.min() > 850


def refused(dataset, message, controls=CONTROLS, audio=AUDIO, frames=FRAMES):
  with pytest.raises(UserError, match=message):
    cfg = model(controls=controls, audio=audio)
    TalkerBatches(dataset, DataConfig("", frames), cfg, 4, 0)


def test_what_does_not_fit_the_dataset_is_named(dataset):
  refused(
    dataset, "did you mean pose", [ControlConfig("poes", "continuous", 3, 0)]
  )
  refused(
    dataset, "size 2, .* 3 values", [ControlConfig("pose", "continuous", 2, 0)]
  )
  refused(
    dataset,
    "size 5, .* 3 categories",
    [ControlConfig("emotion", "categorical", 5, 0)],
  )
  refused(
    dataset, "vectors of 5 numbers", audio=dataclasses.replace(AUDIO, bins=80)
  )
  refused(dataset, "longest .* has 20 latent frames", frames=21)
