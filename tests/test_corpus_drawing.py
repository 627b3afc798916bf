"""Pictures show what the tracks say, and faces that detectors find."""

import dataclasses
import itertools

import numpy as np
import pytest

from data_pipelines.corpus.identity import HAIR_STYLES, OUTFITS, make_identity
from data_pipelines.corpus.portrait import Framing, Portrait
from data_pipelines.faces import load_detector

FRAMING = Framing(160, 160, (0.5, 0.48), 0.52)
NEUTRAL_E = np.eye(5)[0]
MIDDLE = 0.48 * 160


def person(seed, **changes):
  drawn = make_identity(np.random.default_rng(seed))
  return dataclasses.replace(drawn, **changes)


def draw(portrait, opening=0.0, pose=(0, 0, 0), blink=0.0, gaze=(0, 0)):
  picture_YX4 = portrait.draw(
    (opening, 0.5, 0.1), pose, blink, np.array(gaze), NEUTRAL_E
  )
  return picture_YX4[..., :3].astype(float)


def changed_rows(a_YX3, b_YX3):
  """Mean row of the change, in face halves above the middle, and its size."""
  change_Y = np.abs(a_YX3 - b_YX3).sum(axis=(1, 2))
  row = (change_Y * np.arange(160)).sum() / change_Y.sum()
  return (MIDDLE - row) / (0.26 * 160), change_Y.sum()


@pytest.fixture(scope="module")
def portrait():
  return Portrait(person(1, glasses=False), FRAMING)


def test_equal_tracks_give_equal_pictures_whatever_was_drawn_before(portrait):
  first = draw(portrait, 0.5)
  draw(portrait, 1.0, (0.9, -0.5, 0.3), 1.0)
  np.testing.assert_array_equal(first, draw(portrait, 0.5))


def test_the_mouth_opens_more_and_more_in_the_lower_face(portrait):
  closed = draw(portrait)
  sizes = []
  for opening in (0.25, 0.5, 0.75, 1.0):
    row, size = changed_rows(closed, draw(portrait, opening))
    assert -1.0 < row < -0.4
    sizes.append(size)
  assert sizes == sorted(sizes)
  assert sizes[0] > 0.1 * sizes[-1]


def test_blinks_and_gaze_change_the_eyes_only(portrait):
  opened = draw(portrait)
  for change in ({"blink": 1.0}, {"gaze": (0.9, 0)}, {"gaze": (0, 0.9)}):
    row, size = changed_rows(opened, draw(portrait, **change))
    assert -0.1 < row < 0.3
    assert size > 2_000


def test_both_eyes_keep_their_iris_over_many_frames(portrait):
  # The renderer remembers clip paths by address: freed ones came back once.
  for i in range(30):
    picture_YX3 = draw(portrait, 0.3 * (i % 4))
    eyes = picture_YX3[60:85]
    left, right = eyes[:, 40:80], eyes[:, 80:120]
    dark = [(half.sum(axis=-1) < 170).sum() for half in (left, right)]
    assert min(dark) > 0.6 * max(dark)


def test_a_turn_moves_the_features_and_not_the_shoulders(portrait):
  ahead = draw(portrait)
  for pose in ((0.8, 0, 0), (0, 0.8, 0), (0, 0, 0.8)):
    turned = draw(portrait, pose=pose)
    assert np.abs(turned - ahead)[:120].mean() > 1
    np.testing.assert_array_equal(turned[-15:], ahead[-15:])


def drawn_in(place, seed, **kinds):
  """Somebody's pictures, all different, in every kind of hair or clothes."""
  [(name, kinds)] = kinds.items()
  pictures = [
    draw(Portrait(person(seed, **{name: kind}), FRAMING), pose=(1, 1, -1))
    for kind in kinds
  ]
  for one, other in itertools.combinations(pictures, 2):
    assert np.abs(one - other)[place].mean() > 0.5
  return pictures


def test_every_hair_style_is_another_and_leaves_the_shoulders():
  pictures = drawn_in(slice(0, 140), 2, hair_style=HAIR_STYLES)
  for other in pictures[1:]:
    np.testing.assert_array_equal(other[-15:], pictures[0][-15:])


def test_every_outfit_is_another_and_leaves_the_face():
  pictures = drawn_in(slice(110, 160), 3, clothes=OUTFITS)
  for other in pictures[1:]:
    np.testing.assert_array_equal(other[:110], pictures[0][:110])


def test_the_default_detector_finds_nearly_all_faces():
  detect = load_detector("cascade")
  found = 0
  for seed in range(24):
    picture_YX3 = draw(Portrait(person(seed), FRAMING), 0.3)
    found += bool(detect(picture_YX3.astype(np.uint8)))
  assert found >= 22
