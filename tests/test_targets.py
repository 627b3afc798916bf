from eartalk_jax.evaluation.figures import FIGURES, KINDS, name_of
from eartalk_jax.evaluation.targets import judge


def verdicts(metrics):
  return {v.figure.key: v for v in judge(metrics)}


def test_bounds_are_lower_upper_or_a_share_of_another_figure():
  metrics = {
    "lip": 0.8,
    "yaw": 0.899,
    "lip_wrong_audio_own": 0.21,
    "emotion_changed": 0.5,
    "emotion_changed_ceiling": 0.9,
    "lip_first_tenth": 0.9,
    "lip_last_tenth": 0.8,
    "wall_seconds": 1000,
  }
  found = verdicts(metrics)
  assert found["lip"].passed is True
  assert found["yaw"].passed is False
  assert found["lip_wrong_audio_own"].passed is False
  assert found["emotion_changed"].passed is False
  assert found["emotion_changed"].needed == "≥ 0.54"
  assert found["lip_last_tenth"].passed is False
  assert found["wall_seconds"].needed == "≤ 1200"
  assert found["wall_seconds"].mark == "pass"


def test_what_was_not_measured_neither_passes_nor_fails():
  found = verdicts({"emotion_changed": 0.9, "lip": None})
  assert {"lip", "yaw", "wall_seconds"} <= set(found)
  assert {v.passed for v in found.values()} == {None}
  assert found["lip"].measured == "not measured"
  assert found["emotion_changed"].needed == "≥ 0.6 x emotion_changed_ceiling"


def test_what_is_aimed_at_can_be_measured():
  names = {name_of(key, kind) for key in FIGURES for kind in KINDS}
  for verdict in judge({}):
    assert verdict.figure.target.of in names | {None}
    # Its own value is on the side that is better, or on the edge.
    bound = verdict.figure.target.bound
    whole = {verdict.figure.target.of: 1.0}
    key, step = verdict.figure.key, bound / 10
    less = verdict.figure.better == "less"
    for value, passed in ((bound - step, less), (bound + step, not less)):
      assert verdicts(whole | {key: value})[key].passed is passed
