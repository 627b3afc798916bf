"""Random pictures: a pure function of seed and step, for any processes."""

import itertools

import numpy as np
import pytest
from frames import write_frames

from data_pipelines.pictures import PictureBatches, PictureConfig
from eartalk_jax.errors import UserError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return write_frames(tmp_path_factory.mktemp("frames"))


def batches(dataset, seed=0, rows=None, **settings):
  data = PictureConfig(frames="", **settings)
  return PictureBatches(dataset, data, 4, seed, rows)


def take(source, count, start=0):
  steps = itertools.islice(source.iterate(start), count)
  return np.stack([batch["clips_BNYX3"][:, 0] for batch in steps])


def test_they_are_frames_of_the_clips(dataset):
  known = {
    frame.tobytes() for clip in dataset.source for frame in clip["frames"]
  }
  pictures_SBYX3 = take(batches(dataset), 12)
  assert pictures_SBYX3.shape == (12, 4, 16, 16, 3)
  assert pictures_SBYX3.dtype == np.uint8
  seen = {picture.tobytes() for picture in pictures_SBYX3.reshape(48, -1)}
  assert seen <= known
  assert len(seen) > len(known) / 2


def test_pieces_are_frames_one_after_another_of_long_clips(
  dataset,
):
  # Of clips of 6, 7, 5, 3, 4 and 9 frames those of 6 and more.
  clips = [clip["frames"] for clip in dataset.source]
  known = {
    clip[first : first + 6].tobytes(): (number, first)
    for number, clip in enumerate(clips)
    for first in range(len(clip) - 5)
  }
  source = batches(dataset, length=6, per_clip=2)
  first, *others = itertools.islice(source.iterate(0), 12)
  assert first["clips_BNYX3"].shape == (4, 6, 16, 16, 3)
  found = {
    known[piece.tobytes()]
    for batch in [first, *others]
    for piece in batch["clips_BNYX3"]
  }
  assert found == set(known.values()) and len(found) == 7
  part = batches(dataset, length=6, per_clip=2, rows=[1, 2])
  np.testing.assert_array_equal(
    next(iter(part.iterate(0)))["clips_BNYX3"], first["clips_BNYX3"][1:3]
  )


def test_a_crop_is_one_square_of_all_frames_of_a_piece(dataset):
  whole, cropped = (
    next(iter(batches(dataset, length=3, crop=crop).iterate(0)))["clips_BNYX3"]
    for crop in (0, 5)
  )
  assert cropped.shape == (4, 3, 5, 5, 3)
  for piece, part in zip(whole, cropped, strict=True):
    assert any(
      np.array_equal(piece[:, y : y + 5, x : x + 5], part)
      for y in range(12)
      for x in range(12)
    )


def test_clips_that_are_all_too_short_are_refused(dataset):
  with pytest.raises(UserError, match="data.length is 10, .* has 9 frames"):
    batches(dataset, length=10)


def test_starting_late_gives_the_later_batches(dataset):
  whole = take(batches(dataset), 9)
  np.testing.assert_array_equal(take(batches(dataset), 5, start=4), whole[4:])
  threaded = take(batches(dataset, threads=3, prefetch=2), 9)
  np.testing.assert_array_equal(threaded, whole)
  assert (take(batches(dataset, seed=1), 9) != whole).any()


@pytest.mark.parametrize("per_clip", [1, 2, 4])
@pytest.mark.parametrize(
  "parts", [[[0, 1], [2, 3]], [[0, 2, 3], [1]], [[0], [1], [2], [3]]], ids=str
)
def test_processes_make_the_rows_of_one_batch(dataset, per_clip, parts):
  whole = take(batches(dataset, per_clip=per_clip), 6)
  for rows in parts:
    part = take(batches(dataset, rows=rows, per_clip=per_clip), 5, start=1)
    np.testing.assert_array_equal(part, whole[1:, rows])


def test_several_pictures_can_be_of_one_clip(dataset):
  clips = [
    {frame.tobytes() for frame in clip["frames"]} for clip in dataset.source
  ]
  for batch in take(batches(dataset, per_clip=2), 5).reshape(5, 2, 2, -1):
    for pair in batch:
      names = {picture.tobytes() for picture in pair}
      assert any(names <= clip for clip in clips)


def test_a_batch_that_cannot_be_divided_is_refused(dataset):
  with pytest.raises(UserError, match="not a multiple"):
    batches(dataset, per_clip=3)


def test_the_fingerprint_names_seed_data_and_choice(dataset, tmp_path):
  other = write_frames(tmp_path, [[3]])
  prints = [
    batches(dataset).fingerprint,
    batches(dataset, seed=1).fingerprint,
    batches(dataset, per_clip=2).fingerprint,
    batches(dataset, length=2).fingerprint,
    batches(dataset, crop=8).fingerprint,
    batches(other).fingerprint,
  ]
  assert len({str(sorted(p.items())) for p in prints}) == 6
  assert batches(dataset, threads=2).fingerprint == prints[0]
