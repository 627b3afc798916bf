"""metrics.jsonl: one valid line per step, whatever was killed."""

import json

import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.metrics import MetricWriter, read_metrics


def test_lines_beyond_the_resumed_step_are_dropped(tmp_path):
  with MetricWriter(tmp_path, 0) as writer:
    for step in (2, 4, 6):
      writer.write(step, {"loss": 1.0 / step})
  with MetricWriter(tmp_path, 4) as writer:
    writer.write(6, {"loss": 9.0})
  lines = read_metrics(tmp_path)
  assert [line["step"] for line in lines] == [2, 4, 6]
  assert lines[-1]["loss"] == 9.0
  assert list((tmp_path / "tensorboard").iterdir())


def test_a_torn_line_is_dropped(tmp_path):
  with MetricWriter(tmp_path, 0) as writer:
    writer.write(2, {"loss": 1.0})
  with open(tmp_path / "metrics.jsonl", "a") as file:
    file.write('{"step": 4, "lo')
  assert [line["step"] for line in read_metrics(tmp_path)] == [2]
  with MetricWriter(tmp_path, 2) as writer:
    writer.write(4, {"loss": 1.0})
  assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4]


def test_what_is_not_finite_is_null_and_the_file_stays_json(tmp_path):
  with MetricWriter(tmp_path, 0) as writer:
    writer.write(1, {"loss": float("nan"), "norm": float("inf"), "lr": 0.1})
  line = (tmp_path / "metrics.jsonl").read_text()
  fail = AssertionError
  parsed = json.loads(line, parse_constant=lambda name: fail(name))
  assert parsed == {"step": 1, "loss": None, "norm": None, "lr": 0.1}


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1}', '{"step": NaN}'])
def test_a_damaged_line_is_named(tmp_path, line):
  (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n')
  message = "metrics.jsonl: line 2 is damaged.*delete that line"
  with pytest.raises(UserError, match=message):
    read_metrics(tmp_path)
  with pytest.raises(UserError, match=message):
    MetricWriter(tmp_path, 1)
