from eartalk_jax.evaluation.targets import TARGETS, judge


def verdicts(metrics):
  return {v.target.key: v for v in judge(metrics)}


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
  assert len(found) == len(TARGETS)
  assert {v.passed for v in found.values()} == {None}
  assert found["lip"].measured == "not measured"
  assert found["emotion_changed"].needed == "≥ 0.6 x emotion_changed_ceiling"
