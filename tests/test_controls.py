import json
import tracemalloc
import types

import numpy as np
import pytest

from eartalk_jax.controls.requests import (
  parse_controls,
  parse_value,
  read_controls,
  read_portrait,
)
from eartalk_jax.errors import UserError

CONTROLS = (
  types.SimpleNamespace(name="pose", kind="continuous", size=3),
  types.SimpleNamespace(name="blink", kind="continuous", size=1),
  types.SimpleNamespace(name="gaze", kind="continuous", size=2),
  types.SimpleNamespace(name="emotion", kind="categorical", size=3),
)
DEEP = []
for _ in range(100_000):
  DEEP = [DEEP]
CATEGORIES = {"emotion": ["neutral", "happy", "sad"]}


def parse(wishes, frames=10):
  return parse_controls(wishes, CONTROLS, CATEGORIES, frames).span(0, frames)


def test_values_hold_until_the_next_key_and_null_takes_them_back():
  values, given = parse(
    {"pose": {"6": None, "2": [0.5, 0, -1], "4": [0, 0, 0], "8": [1, 0, 0]}}
  )
  assert given["pose"].tolist() == [False] * 2 + [True] * 4 + [False] * 2 + (
    [True] * 2
  )
  np.testing.assert_allclose(values["pose"][2:4], [[0.5, 0, -1]] * 2)
  np.testing.assert_allclose(values["pose"][4:6], 0)
  np.testing.assert_allclose(values["pose"][8:], [[1, 0, 0]] * 2)
  assert set(values) == {"pose"}


def test_categories_go_by_name_and_one_number_needs_no_list():
  values, given = parse({"emotion": {"3": "sad"}, "blink": {"0": 0.25}})
  assert values["emotion"][:, 0].tolist() == [0] * 3 + [2] * 7
  assert given["emotion"].sum() == 7
  np.testing.assert_allclose(values["blink"], 0.25)


@pytest.mark.parametrize(
  ("wishes", "message"),
  [
    ({"pos": {"0": [0, 0, 0]}}, "did you mean 'pose'"),
    ({"zzz": {"0": 1}}, "there are: pose, blink, gaze, emotion"),
    ({"pose": {"0": [0, 0]}}, "2 numbers, but pose has 3"),
    ({"pose": {"0": [0, 0, 1.5]}}, "1.5 is not a number from -1 to 1"),
    ({"blink": {"0": -0.1}}, "-0.1 is not a number from 0 to 1"),
    ({"blink": {"0": float("nan")}}, "nan is not a number"),
    ({"blink": {"0": True}}, "True is not a number"),
    ({"blink": {"0": "shut"}}, "'shut' is not a number"),
    ({"pose": {"10": [0, 0, 0]}}, "frame 10 is beyond the end.* last is 9"),
    ({"pose": {"-1": [0, 0, 0]}}, "the first frame is 0"),
    ({"pose": {"first": [0, 0, 0]}}, "'first' is not a frame number"),
    ({"emotion": {"0": "hapy"}}, "did you mean 'happy'"),
    ({"emotion": {"0": 1}}, "no category 1"),
    ({"pose": [0, 0, 0]}, "pose: an object"),
    ([], "an object"),
    *[
      ({"blink": {frame: 1}}, "is not a frame number")
      for frame in ("01", "1_0", " 1", "1 ", "+1", "1.0", "", "٣", "9" * 5000)
    ],
    ({"pose": {"0": [18, 0, 0]}}, "18 is not .*as far as heads turn; degrees"),
    ({"gaze": {"0": [0, -20]}}, "as far as eyes turn; degrees"),
    ({"blink": {"0": 10**5000}}, "this int is not a number from 0 to 1"),
    ({"blink": {"0": DEEP}}, "this list is not a number"),
    ({"emotion": {"0": ["happy"]}}, "no category"),
    ({7: {"0": 1}}, "no control 7"),
  ],
)
def test_impossible_wishes_are_named(wishes, message):
  with pytest.raises(UserError, match=message) as caught:
    parse(wishes)
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 250


def test_a_schedule_costs_what_is_asked_and_not_what_the_video_lasts():
  wishes = {"pose": {"5": [0.5, 0, 0], "900000000": None}, "blink": {"7": None}}
  tracemalloc.start()
  schedule = parse_controls(wishes, CONTROLS, CATEGORIES, 10**9)
  values, given = schedule.span(899_999_999, 900_000_001)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 100_000
  np.testing.assert_array_equal(values["pose"], [[0.5, 0, 0], [0, 0, 0]])
  assert given["pose"].tolist() == [True, False]
  assert values["blink"].shape == (2, 1) and not given["blink"].any()


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_spans_are_the_whole_in_pieces(cut):
  wishes = {"pose": {"2": [0.5, 0, -1], "6": None, "8": [1, 0, 0]}}
  wishes["emotion"] = {"3": "sad"}
  schedule = parse_controls(wishes, CONTROLS, CATEGORIES, 10)
  whole = schedule.span(0, 10)
  spans = [schedule.span(at, min(at + cut, 10)) for at in range(0, 10, cut)]
  for part in (0, 1):
    for name in wishes:
      pieces = [span[part][name] for span in spans]
      np.testing.assert_array_equal(np.concatenate(pieces), whole[part][name])


def test_a_file_is_read_and_a_bad_one_is_named(tmp_path):
  path = tmp_path / "controls.json"
  path.write_text(json.dumps({"blink": {"0": 1}}))
  for start in ("", "\ufeff"):
    path.write_text(start + path.read_text(), encoding="utf-8")
    schedule = read_controls(path, CONTROLS, CATEGORIES, 4)
    assert schedule.span(0, 4)[0]["blink"].shape == (4, 1)
  for other in (tmp_path / "none.json", tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
      read_controls(other, CONTROLS, CATEGORIES, 4)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{pose", "not a JSON file"),
    ("\xff\xfe", "not a JSON file"),
    ('{"blink": {"5": %s}}' % ("9" * 401), "beyond all numbers"),
    ("[" * 100_000, "nested too deeply"),
    ('{"blink": {"0": 0, "0": 1}}', "'0' is said twice"),
    ('{"blink": {"1": 0, "01": 1}}', "'01' is not a frame number"),
    ('{"blink": {"10": 0, "1_0": 1}}', "'1_0' is not a frame number"),
    ('{"blink": {"0": NaN}}', "NaN is no number"),
    ('{"blink": {"0": 0}, "blink": {"0": 1}}', "'blink' is said twice"),
  ],
)
@pytest.mark.parametrize("of_portrait", [False, True])
def test_a_bad_file_is_a_line(tmp_path, content, message, of_portrait):
  path = tmp_path / "controls.json"
  path.write_bytes(content.encode("latin-1"))
  if of_portrait and "frame" in message:
    message = "numbers|not a number"
  with pytest.raises(UserError, match=message) as caught:
    if of_portrait:
      read_portrait(path, CONTROLS, CATEGORIES)
    else:
      read_controls(path, CONTROLS, CATEGORIES, 20)
  assert len(str(caught.value).splitlines()) == 1


def test_arrays_are_numbers_too():
  pose, emotion = CONTROLS[0], CONTROLS[-1]
  for wish in (np.float32([0.5, 0, 1]), (0.5, 0, 1), [np.float64(0.5), 0, 1]):
    assert parse_value(wish, pose, CATEGORIES, "x") == [0.5, 0, 1]
  assert parse_value(np.float32(0.25), CONTROLS[1], {}, "x") == [0.25]
  assert parse_value(np.str_("sad"), emotion, CATEGORIES, "x") == [2]
  for wish in (np.zeros((3, 1)), np.array(["a"] * 3), np.array([True] * 3)):
    with pytest.raises(UserError, match="is not a number"):
      parse_value(wish, pose, CATEGORIES, "x")
  with pytest.raises(UserError, match="no category"):
    parse_value(np.array(["sad", "sad"]), emotion, CATEGORIES, "x")
