"""Buckets tile the time of a run, against sums known in closed form."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.goodput import goodput
from eartalk_jax.telemetry.goodput_plot import seconds_over_time
from launch import goodput as command

TESTS = pathlib.Path(__file__).parent
T0 = 1.7e9


def event(time, kind, **fields):
  return {"time": T0 + time, "process": 0, "kind": kind} | fields


def start(time):
  return event(time + 1, "start", started=T0 + time)


def begin(time, phase, **fields):
  return event(time, "begin", phase=phase, **fields)


def end(time, phase, **fields):
  return event(time, "end", phase=phase, **fields)


def told(step, data_wait=0.0):
  return {"step": step, "data_wait": data_wait}


def killed_once():
  """10 s of steps 1-10, saved at 6 s; killed; from step 6 to the end."""
  return [
    start(0),
    begin(2, "initialise"),
    end(4, "initialise"),
    begin(5, "step", **told(0)),
    begin(5, "compile", **told(0)),
    end(8, "compile", **told(0)),
    begin(14, "checkpoint", **told(6)),
    end(15, "checkpoint", **told(6)),
    event(20, "alive", **told(11, 1.0)),
    start(50),
    begin(52, "restore"),
    end(55, "restore"),
    begin(55, "step", **told(6)),
    begin(60, "eval", **told(11)),
    end(61, "eval", **told(11)),
    begin(61, "preview", **told(11)),
    end(63, "preview", **told(11)),
    end(67, "step", **told(14, 3.0)),
    event(70, "stop", how="finished", **told(14, 3.0)),
  ]


def test_every_second_of_a_killed_run_is_in_its_bucket():
  found = goodput(killed_once())
  assert {name: s for name, s in found.buckets.items() if s} == pytest.approx(
    {
      "initialise": 5 + 2,
      "restore": 3,
      "compile": 3,
      "step": 6 + 5 + 1,
      "data wait": 1 + 3,
      "eval": 1,
      "preview": 2,
      "checkpoint": 1,
      "wasted": 4,
      "down": 30,
      "unaccounted": 3,
    }
  )
  assert found.wall == pytest.approx(70)
  assert found.goodput == pytest.approx(12 / 70)
  assert found.wasted_steps == 5
  assert [attempt.how for attempt in found.attempts] == ["killed", "finished"]
  assert [(a.first, a.last) for a in found.attempts] == [(0, 11), (6, 14)]


def test_steps_between_two_lines_are_split_where_the_next_run_began():
  events = [
    start(0),
    begin(1, "step", **told(0)),
    event(11, "alive", **told(10)),
    start(20),
    begin(21, "step", **told(4)),
  ]
  found = goodput(events)
  assert found.buckets["wasted"] == pytest.approx(6)
  assert found.buckets["step"] == pytest.approx(4)
  assert found.wasted_steps == 6
  assert found.attempts[1].how == "running"


def test_a_command_given_again_after_the_end_counts_for_nothing():
  again = [start(1000), event(1010, "stop", how="finished", **told(14))]
  assert goodput(killed_once() + again) == goodput(killed_once())


def test_the_first_of_many_kills_loses_what_the_lowest_restart_did_again():
  """A checkpoint may turn out damaged only at the second restart."""
  story = []
  for number, first in enumerate((0, 8, 5)):
    at = 100 * number
    story += [start(at), begin(at + 1, "step", **told(first))]
    story += [event(at + 11, "alive", **told(first + 10))]
  found = goodput(story)
  assert [attempt.wasted for attempt in found.attempts] == [5, 10, 0]
  assert found.buckets["wasted"] == pytest.approx(5 + 10)


def test_a_start_that_was_refused_meanwhile_takes_nothing_from_the_run():
  first = [
    start(0),
    begin(1, "step", **told(0)),
    event(11, "alive", **told(10)),
    end(21, "step", **told(20)),
    event(22, "stop", how="finished", **told(20)),
  ]
  second = [start(12), event(13.5, "stop", how="error", error="UserError")]
  first = [line | {"attempt": 1} for line in first]
  second = [line | {"attempt": 2} for line in second]

  def together(first):
    return goodput(sorted(first + second, key=lambda line: line["time"]))

  found, alone = together(first), goodput(first)
  assert found.buckets == pytest.approx(alone.buckets)
  assert found.attempts[0] == alone.attempts[0]
  assert found.attempts[1].begin == found.attempts[1].end
  running = [*first[:3], event(16, "alive", **told(15), attempt=1)]
  assert together(running).attempts[0].how == "running"
  assert together(first[:3]).attempts[0].how == "killed"


PHASES = st.sampled_from(["initialise", "step", "checkpoint", "eval", "odd"])
LINES = st.lists(
  st.tuples(
    st.floats(-3, 20), st.sampled_from(["begin", "end", "alive"]), PHASES
  ),
  max_size=12,
)


@given(st.lists(LINES, min_size=1, max_size=4), st.randoms())
def test_buckets_tile_the_wall_time_whatever_the_lines(attempts, random):
  events, now, step = [], 0.0, 0
  for lines in attempts:
    now += random.uniform(-2, 30)
    events.append(start(now))
    step, wait = random.randint(0, step), 0.0
    for seconds, kind, phase in lines:  # a clock may be set back
      now += seconds
      step, wait = step + random.randint(0, 5), wait + random.uniform(0, 9)
      events.append(event(now, kind, phase=phase, **told(step, wait)))
  found = goodput(events)
  pieces = [(i.begin, i.end) for i in found.intervals]
  assert pieces[0][0] == found.attempts[0].begin
  assert pieces[-1][1] == found.attempts[-1].end
  assert all(a[1] == b[0] for a, b in zip(pieces, pieces[1:], strict=False))
  assert all(a <= b for a, b in pieces)
  assert sum(found.buckets.values()) == pytest.approx(found.wall, abs=1e-4)


def test_the_picture_shows_the_same_seconds():
  found = goodput(killed_once())
  seconds = seconds_over_time(found, 7)  # pieces of 10 s
  np.testing.assert_allclose(sum(seconds.values()), 10, rtol=1e-6)
  for name, pieces in seconds.items():
    np.testing.assert_allclose(pieces.sum(), found.buckets[name], rtol=1e-6)
  np.testing.assert_allclose(seconds["down"], [0, 0, 10, 10, 10, 0, 0])


def test_two_kills_end_to_end(tmp_path, capsys):
  workdir = tmp_path / "run"
  began = time.time()
  for step in (17, 38, 0):
    process = subprocess.run(
      [sys.executable, "pulse.py", str(workdir), str(step)],
      cwd=TESTS,
      env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
      stdout=subprocess.PIPE,
      text=True,
    )
    assert process.returncode == (-signal.SIGKILL if step else 0)
  outside = float(process.stdout.splitlines()[-1]) - began
  files = [str(tmp_path / name) for name in ("goodput.json", "goodput.png")]
  command.main([str(workdir), "--json", files[0], "--plot", files[1]])
  found = json.loads(pathlib.Path(files[0]).read_text())
  buckets = found["buckets"]
  total = sum(buckets.values())
  assert total == pytest.approx(found["wall_seconds"], rel=1e-6)
  assert total == pytest.approx(outside, rel=0.01)
  assert buckets["unaccounted"] < 0.01 * found["wall_seconds"]
  assert found["wasted_steps"] == 7 + 8 and found["unsaved_steps"] == 0
  assert [a["how"] for a in found["attempts"]] == ["killed"] * 2 + ["finished"]
  steps = [(a["first"], a["last"]) for a in found["attempts"]]
  assert steps == [(0, 17), (10, 38), (30, 40)]
  busy = {"initialise", "restore", "compile", "step", "eval", "checkpoint"}
  assert all(buckets[name] > 0 for name in busy | {"wasted", "down"})
  out = capsys.readouterr().out
  assert "15 steps done twice" in out and "unaccounted" in out
  assert pathlib.Path(files[1]).read_bytes().startswith(b"\x89PNG")


def test_what_is_no_run_is_refused(tmp_path):
  with pytest.raises(UserError, match="events.jsonl is not there"):
    command.main([str(tmp_path)])
  (tmp_path / "events.jsonl").touch()
  with pytest.raises(UserError, match="no start of a run"):
    command.main([str(tmp_path)])
