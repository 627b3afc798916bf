"""The event log: whole lines, whatever happens to the process or the disk."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.processes.missed import tell_missed
from eartalk_jax.telemetry import events
from eartalk_jax.telemetry.events import EventLog, read_events


def kinds(workdir):
  return [event["kind"] for event in read_events(workdir)]


def test_phases_nest_and_attempts_are_counted(tmp_path):
  before = time.time()
  for _ in range(2):
    with EventLog(tmp_path) as log, log.phase("steps"), log.phase("save"):
      log.write("commit", step=3)
  story = ["start", "begin", "begin", "commit", "end", "end", "stop"]
  assert kinds(tmp_path) == 2 * story
  lines = read_events(tmp_path)
  assert [line["attempt"] for line in lines] == 7 * [1] + 7 * [2]
  assert all(before - 1 < line["time"] <= time.time() for line in lines)
  assert lines[-1]["how"] == "finished"


@pytest.mark.parametrize(
  "error, how",
  [
    (SystemExit(128 + signal.SIGTERM), "SIGTERM"),
    (KeyboardInterrupt(), "SIGINT"),
    (UserError("no more of this"), "error"),
  ],
)
def test_the_last_line_says_how_a_run_ended(tmp_path, error, how):
  with pytest.raises(type(error)), EventLog(tmp_path) as log, log.phase("x"):
    raise error
  last = read_events(tmp_path)[-2:]
  assert [line["kind"] for line in last] == ["end", "stop"]
  assert last[1]["how"] == how
  assert how != "error" or "no more of this" in last[1]["error"]


def test_a_torn_last_line_is_left_out_and_then_cut_off(tmp_path):
  with EventLog(tmp_path):
    pass
  path = tmp_path / "events.jsonl"
  path.write_bytes(path.read_bytes() + b'{"time": 1, "ki')
  assert kinds(tmp_path) == ["start", "stop"]
  with EventLog(tmp_path):
    pass
  assert kinds(tmp_path) == 2 * ["start", "stop"]
  path.write_bytes(b'{"ti\n' + path.read_bytes())
  with pytest.raises(UserError, match="line 1 is damaged"):
    read_events(tmp_path)


@pytest.mark.parametrize(
  "line",
  ["[1]", "5", "{}", "[" * 9999, '{"time": NaN, "process": 0, "kind": "x"}']
  + ['{"time": "1", "process": 0, "kind": "x"}', '{"time": 1, "kind": "x"}']
  + ['{"time": 1, "process": 0, "kind": 5}']
  + ['{"time": 1, "process": 0, "kind": "start"}']
  + ['{"time": 1, "process": 0, "kind": "x", "attempt": []}']
  + ['{"time": 1, "process": 0, "kind": "begin", "phase": ["x"]}']
  + ['{"time": 1, "process": 0, "kind": "alive", "step": "9"}'],
)
def test_a_line_that_is_no_event_is_named(tmp_path, line):
  (tmp_path / "events.jsonl").write_text(line + "\n")
  with pytest.raises(UserError, match="line 1 is damaged.*delete that line"):
    read_events(tmp_path)
  # A run does not ask; it goes on.
  signal = '{"kind": "signal", "step": []}\n'
  begun = '{"kind": "start"}\n'
  path = tmp_path / "events.jsonl"
  path.write_text(f"{line}\n{signal}{begun}")
  tell_missed(tmp_path, None)


def test_what_is_said_after_the_end_is_of_that_attempt(tmp_path):
  with EventLog(tmp_path, process=0) as log:
    pass
  with EventLog(tmp_path, process=0):
    log.write("served")
  lines = [(e["kind"], e["attempt"]) for e in read_events(tmp_path)]
  assert lines == [
    ("start", 1),
    ("stop", 1),
    ("start", 2),
    ("served", 1),
    ("stop", 2),
  ]


def test_a_full_disk_is_an_error_and_leaves_no_half_line(tmp_path):
  # A limit on the size of files fails as a full disk does: in mid-line.
  with EventLog(tmp_path) as log:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = (tmp_path / "events.jsonl").stat().st_size
    try:
      resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, before[1]))
      with pytest.raises(UserError, match="cannot write .*events.jsonl"):
        log.write("window", text="x" * 100)
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, before)
      signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "events.jsonl").stat().st_size == size
  assert kinds(tmp_path) == ["start", "stop"]


def test_a_disk_that_fills_while_the_run_says_nothing_stops_it(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(events, "BEAT", 0.01)
  with (
    pytest.raises(UserError, match="cannot write"),
    EventLog(tmp_path) as log,
  ):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
      resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
      log._beating.join(timeout=60)
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, before)
      signal.signal(signal.SIGXFSZ, ignored)
    log.write("after")
  assert "after" not in kinds(tmp_path)


def test_another_process_writes_only_what_is_meant_for_all(tmp_path):
  with EventLog(tmp_path, process=0), EventLog(tmp_path, process=3) as other:
    other.write("commit", step=1)
    other.write("signal", everywhere=True, name="SIGTERM")
  assert [
    (line["process"], line["kind"]) for line in read_events(tmp_path)
  ] == [(0, "start"), (0, "stop"), (3, "signal")]


def test_the_log_goes_on_beating_while_the_run_says_nothing(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(events, "BEAT", 0.01)
  with EventLog(tmp_path) as log:
    log.tell(step=7)
    while kinds(tmp_path).count("alive") < 3:
      time.sleep(0.01)
  assert read_events(tmp_path)[-2]["step"] == 7


def test_the_start_is_that_of_the_process(tmp_path):
  program = (
    "import sys, time; time.sleep(0.5); "
    "from eartalk_jax.telemetry.events import EventLog\n"
    "with EventLog(sys.argv[1], process=0): pass"
  )
  before = time.time()
  subprocess.run(
    [sys.executable, "-c", program, str(tmp_path)],
    env=os.environ | {"PYTHONPATH": os.getcwd()},
    check=True,
  )
  start = read_events(tmp_path)[0]
  # The kernel counts in hundredths of a second.
  assert before - 0.02 < start["started"] < start["time"] - 0.5


def test_a_directory_that_is_no_run_is_refused(tmp_path):
  with pytest.raises(UserError, match="work directory of a training run"):
    read_events(tmp_path)
