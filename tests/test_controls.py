import json
import types

import numpy as np
import pytest

from eartalk_jax.controls import parse_controls, read_controls
from eartalk_jax.errors import UserError

CONTROLS = (
  types.SimpleNamespace(name="pose", kind="continuous", size=3),
  types.SimpleNamespace(name="blink", kind="continuous", size=1),
  types.SimpleNamespace(name="emotion", kind="categorical", size=3),
)
CATEGORIES = {"emotion": ["neutral", "happy", "sad"]}


def parse(wishes, frames=10):
  return parse_controls(wishes, CONTROLS, CATEGORIES, frames)


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
    ({"zzz": {"0": 1}}, "there are: pose, blink, emotion"),
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
  ],
)
def test_impossible_wishes_are_named(wishes, message):
  with pytest.raises(UserError, match=message):
    parse(wishes)


def test_a_file_is_read_and_a_bad_one_is_named(tmp_path):
  path = tmp_path / "controls.json"
  path.write_text(json.dumps({"blink": {"0": 1}}))
  values, _ = read_controls(path, CONTROLS, CATEGORIES, 4)
  assert values["blink"].shape == (4, 1)
  path.write_text("{pose")
  with pytest.raises(UserError, match="not a JSON file"):
    read_controls(path, CONTROLS, CATEGORIES, 4)
  with pytest.raises(UserError, match="cannot be read"):
    read_controls(tmp_path / "none.json", CONTROLS, CATEGORIES, 4)
