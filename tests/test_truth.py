import json

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
]


@pytest.mark.parametrize("changes", BAD)
def test_what_does_not_fit_is_rejected(tmp_path, changes):
  with pytest.raises(Reject) as info:
    read_truth(write(tmp_path, **changes))
  assert info.value.reason == "bad_truth"


def test_what_is_no_json_object_is_rejected(tmp_path):
  for text in ("{", "[1, 2]", ""):
    (tmp_path / "a.truth.json").write_text(text)
    with pytest.raises(Reject, match="a.truth.json"):
      read_truth(tmp_path / "a.mp4")
