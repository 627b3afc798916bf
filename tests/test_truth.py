import json
import os

import numpy as np
import pytest

from data_pipelines.rejects import Reject
from data_pipelines.truth import NOTHING, read_truth

GOOD = {
  "version": 1,
  "times": [0.0, 0.1, 0.4],
  "tracks": {"blink": [[0], [0.5], [1]], "emotion": [[1], [1], [0]]},
  "categories": {"emotion": ["neutral", "happy"]},
  "identity": "ignored",
}


def write(tmp_path, **changes):
  path = tmp_path / "a.truth.json"
  path.write_text(json.dumps(GOOD | changes))
  return tmp_path / "a.mp4"


def test_rows_are_those_of_the_nearest_time(tmp_path):
  truth = read_truth(write(tmp_path))
  times = np.array([-1, 0.04, 0.06, 0.2, 0.3, 9])
  want = [0, 0, 0.5, 0.5, 1, 1]
  np.testing.assert_array_equal(truth.at("blink", times)[:, 0], want)
  assert truth.categories == GOOD["categories"]


def test_a_single_row_serves_all_times(tmp_path):
  video = write(tmp_path, times=[0], tracks={"blink": [[0.5]]}, categories={})
  np.testing.assert_array_equal(
    read_truth(video).at("blink", np.array([0, 5])), [[0.5], [0.5]]
  )


def test_no_file_is_no_truth(tmp_path):
  assert read_truth(tmp_path / "a.mp4") is NOTHING


BAD = [
  {"version": 2},
  {"times": [0, 0.1]},
  {"times": [0, 0.4, 0.1]},
  {"times": None},
  {"tracks": {"blink": [0, 1, 1]}},
  {"tracks": {"blink": [[0], [1, 2], [3]]}},
  {"tracks": {"blink": [[0], [float("nan")], [1]]}},
  {"tracks": {"blink": [["a"], ["b"], ["c"]]}},
  {"tracks": {"emotion": [[0], [1], [2]]}},
  {"tracks": {"emotion": [[0], [0.5], [1]]}},
  {"tracks": ["blink"]},
  {"tracks": {"blink": [["0"], ["1"], ["0"]]}},
  {"tracks": {"blink": [[], [], []]}},
  {"tracks": {"blink": [[0] * 300] * 3}},
  {"tracks": {"blink": [[1e300], [0], [0]]}},
  {"tracks": {"blink": [[2**70], [0], [0]]}},
  {"tracks": {"a/b": [[0], [0], [0]]}},
  {"tracks": {"\udce9": [[0], [0], [0]]}},
  {"tracks": {f"t{i}": [[0], [0], [0]] for i in range(33)}},
  {"times": [0, 0.1, "0.2"]},
  {"times": [[0], [1], [2]]},
  {"categories": {"emotion": "abc"}},
  {"categories": {"emotion": [["a"], ["b"]]}},
  {"categories": {"emotion": ["same", "same"]}},
  {"categories": []},
  {"version": "1" * 500},
  {"tracks": {"pose": [[0, 0, 0], [12, 3, 0], [1, 0, 0]]}, "categories": {}},
]


@pytest.mark.parametrize("changes", BAD)
def test_what_does_not_fit_is_rejected(tmp_path, changes):
  with pytest.raises(Reject) as info:
    read_truth(write(tmp_path, **changes))
  assert info.value.reason == "bad_truth"
  if "pose" in changes.get("tracks", ()):
    assert "pose holds 12; 1 is as far as heads turn" in info.value.detail


def test_what_is_no_json_object_is_rejected(tmp_path):
  deep, huge = "[" * 100_000, '{"version": 1, "times": [1%s]}' % ("0" * 400)
  for text in ("{", "[1, 2]", "", deep, huge, "\0", '{"version": NaN}'):
    (tmp_path / "a.truth.json").write_text(text)
    with pytest.raises(Reject, match="a.truth.json"):
      read_truth(tmp_path / "a.mp4")


def test_what_is_no_file_is_rejected_and_never_opened(tmp_path):
  path = tmp_path / "a.truth.json"
  path.symlink_to("nowhere")
  with pytest.raises(Reject, match="a.truth.json: No such file"):
    read_truth(tmp_path / "a.mp4")
  path.unlink()
  os.mkfifo(path)
  with pytest.raises(Reject, match="a.truth.json: is no file"):
    read_truth(tmp_path / "a.mp4")
  path.unlink()
  with open(path, "wb") as file:
    file.truncate(1 << 40)
  with pytest.raises(Reject, match="is larger than 64 MB"):
    read_truth(tmp_path / "a.mp4")


def test_a_name_with_no_room_for_truth_has_none(tmp_path):
  assert read_truth(tmp_path / ("x" * 251 + ".mp4")) is NOTHING
