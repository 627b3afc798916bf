"""What is known of tracks agrees with itself and with what is drawn."""

import pathlib

import numpy as np
import pytest

from data_pipelines.corpus.geometry import HeadPose
from eartalk_jax.controls.idle import Idle
from eartalk_jax.controls.known import (
  TRACKS,
  figure_names,
  mirrored,
  track_of,
  without_mirror,
)
from eartalk_jax.evaluation.figures import FIGURES
from eartalk_jax.models.config import ControlConfig

SIZES = {name: len(track.numbers) for name, track in TRACKS.items()}
CONTROLS = [
  ControlConfig(name, "continuous", size, 0.0)
  for name, size in SIZES.items()
  if not TRACKS[name].classes
]


@pytest.mark.parametrize("name", TRACKS)
def test_all_is_said_of_each_number(name):
  track = TRACKS[name]
  for said in (track.figures, track.units, track.full, track.idle):
    assert len(said) == SIZES[name]
  assert set(track.figures) <= set(FIGURES)


@pytest.mark.parametrize("name", TRACKS)
def test_a_mirror_in_a_mirror_shows_the_face(name):
  track_TK = np.random.default_rng(0).normal(size=(5, SIZES[name]))
  track_TK = track_TK.astype(np.float32)
  twice_TK = mirrored(name, mirrored(name, track_TK))
  np.testing.assert_array_equal(twice_TK, track_TK)
  assert twice_TK.dtype == np.float32
  assert not without_mirror({name: SIZES[name]})
  assert without_mirror({name: SIZES[name] + 1, "ears": 2}) == [name, "ears"]


def test_idling_stays_in_range_and_moves_what_idles():
  known = {"pose": [0.97, -0.97, 0.0]}
  idle = Idle(CONTROLS, known, seed=4)
  rows = [idle.at(frame) for frame in range(3000)]
  assert set(rows[0]) == {n for n, track in TRACKS.items() if any(track.idle)}
  for name in rows[0]:
    track_TK = np.array([row[name] for row in rows])
    low, high = track_of(name).range
    assert low <= track_TK.min() and track_TK.max() <= high
    reach_K = np.abs(track_TK - known.get(name, 0)).max(axis=0)
    assert np.all(reach_K <= np.array(track_of(name).idle) + 1e-9)
    assert np.all(reach_K > 0.4 * np.array(track_of(name).idle))


def test_a_track_of_another_name_or_size_counts_its_figures():
  assert figure_names("pose", 3) == ("yaw", "pitch", "roll")
  assert figure_names("pose", 2) == ("pose_0", "pose_1")
  assert figure_names("ears", 1) == ("ears_0",)


def test_heads_are_drawn_as_far_turned_as_the_readme_says():
  ahead_3, up_3 = np.array([0, 0, 1]), np.array([0, 1, 0])
  angles = []
  # To the right, up, clockwise: x is to the right, y up, z to the viewer.
  for pose_3, at_3, axis in (
    ((1, 0, 0), ahead_3, 0),
    ((0, 1, 0), ahead_3, 1),
    ((0, 0, 1), up_3, 0),
  ):
    turned_3 = HeadPose(pose_3, (0, 0), 1.0).rotation_33 @ at_3
    angles.append(np.degrees(np.arcsin(turned_3[axis])))
  np.testing.assert_allclose(angles, TRACKS["pose"].full)
  right, up, clockwise = (f"{angle:.0f}" for angle in angles)
  readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
  sentence = f"{right} degrees to the picture's right, {up} up, {clockwise} "
  assert f"{sentence}clockwise" in " ".join(readme.split())
