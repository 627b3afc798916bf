"""Idling: like people, the same for a seed, and never against a wish."""

import numpy as np
import pytest
import talkers
from test_generate import generator  # noqa: F401, a fixture
from test_streaming import portraits, speech  # noqa: F401, fixtures

from eartalk_jax.controls.idle import Idle, fill
from eartalk_jax.models.config import ControlConfig
from eartalk_jax.streaming import Streams

CONTROLS = (
  ControlConfig("pose", "continuous", 3, 0.1),
  ControlConfig("blink", "continuous", 1, 0.1),
  ControlConfig("gaze", "continuous", 2, 0.1),
  ControlConfig("emotion", "categorical", 4, 0.1),
)
MINUTE = 25 * 60


def _tracks(idle, frames=10 * MINUTE):
  rows = [idle.at(frame) for frame in range(frames)]
  return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_eyes_close_as_often_as_peoples_do():
  blink_T = _tracks(Idle(CONTROLS, {}, 0))["blink"][:, 0]
  begins_T = np.flatnonzero((blink_T[1:] > 0) & (blink_T[:-1] == 0))
  assert 15 <= len(begins_T) / 10 <= 22
  assert blink_T.min() >= 0 and blink_T.max() == 1
  assert np.diff(begins_T).std() > 10, "like a clock"
  assert (blink_T > 0.5).mean() < 0.08


def test_heads_sway_about_the_portraits_pose_and_only_if_it_is_known():
  pose = [0.4, -0.2, 0.97]
  pose_T3 = _tracks(Idle(CONTROLS, {"pose": pose}, 3))["pose"]
  np.testing.assert_allclose(pose_T3.mean(0), pose, atol=0.03)
  assert np.all(pose_T3.std(0) > 0.01) and np.abs(pose_T3).max() <= 1
  assert np.abs(np.diff(pose_T3, axis=0)).max() < 0.02
  assert "pose" not in Idle(CONTROLS, {}, 3).at(0)


def test_faces_differ_and_each_is_the_same_again():
  one, again, other = (
    _tracks(Idle(CONTROLS, {"pose": [0, 0, 0]}, seed), 500)
    for seed in (1, 1, 2)
  )
  for name in ("blink", "gaze", "pose"):
    np.testing.assert_array_equal(one[name], again[name])
    assert (one[name] != other[name]).any()


def test_a_model_without_such_controls_has_none():
  assert Idle(CONTROLS[3:], {}, 0).at(5) == {}


def test_wishes_come_first():
  idle, asked_T = Idle(CONTROLS, {}, 0), np.arange(300) >= 200
  controls = {"blink": np.full((300, 1), 0.7), "emotion": np.ones((300, 1))}
  given = {"blink": asked_T, "emotion": asked_T}
  fill(idle, 0, 300, controls, given)
  assert np.all(controls["blink"][200:] == 0.7) and given["blink"].all()
  np.testing.assert_allclose(
    controls["blink"][:200], _tracks(idle, 200)["blink"]
  )
  np.testing.assert_array_equal(given["emotion"], asked_T)
  assert set(controls) == {"blink", "emotion", "gaze"}


def test_a_span_of_idling_is_a_part_of_the_whole_however_late_it_is():
  idle = Idle(CONTROLS, {"pose": [0, 0, 0]}, 3)
  whole = {}, {}
  fill(idle, 0, 90, *whole)
  part = {}, {}
  fill(idle, 33, 80, *part)
  for name, value_tK in part[0].items():
    np.testing.assert_array_equal(value_tK, whole[0][name][33:80])
  late = {}, {}
  fill(idle, 10**9, 10**9 + 2, *late)
  assert {x_tK.shape[0] for x_tK in late[0].values()} == {2}


@pytest.mark.parametrize("idle", [True, False])
def test_a_stream_idles_unless_told_not_to(
  generator,  # noqa: F811
  portraits,  # noqa: F811
  speech,  # noqa: F811
  idle,
):
  """The tiny model has a pose; its sway is what idling can change."""
  assert "pose" in {control.name for control in talkers.TINY.controls}
  streams = Streams(generator, slots=3)
  known = {"pose": [0.2, 0.1, 0.0]}
  idling, still, restored = (
    streams.open(portraits[0], known, idle=which)
    for which in (idle, False, idle)
  )
  for stream in (idling, still):
    stream.push(speech[0])
  first = idling.pull()
  assert (first != still.pull()).any() == idle
  # What is saved goes on idling; a wish is a wish.
  restored.push(speech[0][:8_000])
  pulled = [restored.pull()]
  saved = restored.save()
  restored.close()
  restored = streams.restore(saved)
  restored.push(speech[0][8_000:])
  pulled.append(restored.pull())
  np.testing.assert_array_equal(np.concatenate(pulled), first)
