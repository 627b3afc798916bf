import json
import os
import signal
import subprocess
import sys
import time
import types

import psutil
import pytest

from eartalk_jax.controls.requests import parse_controls
from eartalk_jax.errors import UserError
from launch import demo
from launch.demo_stages import Plan, Stage, demo_controls, make_stages


def script_stages(out):
  """Two stages that note that they ran; the second writes metrics.json."""
  note = "open('ran', 'a').write('%s ');"

  def stage(name, code, output):
    code = f"import os; os.chdir({str(out)!r}); {note % name} {code}"
    return Stage(name, f"stage {name}", ["-c", code], out / output)

  metrics = "os.makedirs('evaluation', exist_ok=True);"
  metrics += "open('evaluation/metrics.json', 'w').write('{\"lip\": 0.9}')"
  return [
    stage("one", "open('made', 'w')", "made"),
    stage("two", metrics, "evaluation/metrics.json"),
  ]


@pytest.fixture
def scripted(tmp_path, monkeypatch):
  stages = script_stages(tmp_path)
  monkeypatch.setattr(demo, "make_stages", lambda out, plan: stages)
  return tmp_path, stages


def test_a_second_run_does_nothing_again_and_keeps_the_costs(scripted, capfd):
  out, _ = scripted
  first = demo.run_demo(out, Plan(seed=0))
  second = demo.run_demo(out, Plan(seed=0))
  assert (out / "ran").read_text() == "one two "
  assert first == second
  assert first["wall_seconds"] > 0
  assert first["peak_rss_gb"] > 0
  printed = capfd.readouterr().out
  assert "[2/2] stage two\n  python -c" in printed
  assert "[1/2] stage one: done before" in printed


def test_what_depends_on_a_new_output_is_made_again(scripted):
  out, stages = scripted
  demo.run_demo(out, Plan(seed=0))
  (out / "made").unlink()
  demo.run_demo(out, Plan(seed=0))
  assert (out / "ran").read_text() == "one two one two "
  changed = [*stages[1].command[:-1], stages[1].command[-1] + "; 1"]
  stages[1] = Stage("two", "stage two", changed, stages[1].output)
  demo.run_demo(out, Plan(seed=0))
  assert (out / "ran").read_text() == "one two one two two "


def test_a_failed_stage_is_named_and_tried_again(scripted):
  out, stages = scripted
  good = stages[1]
  code = "import time, sys; time.sleep(0.3); sys.exit(3)"
  failing = [good.command[0], code]
  stages[1] = Stage("two", "stage two", failing, good.output)
  with pytest.raises(UserError, match="'stage two' ended with status 3"):
    demo.run_demo(out, Plan(seed=0))
  seconds = json.loads((out / "demo.json").read_text())["stages"]["two"]
  assert seconds["seconds"] > 0.3
  stages[1] = good
  demo.run_demo(out, Plan(seed=0))
  assert (out / "ran").read_text() == "one two "


def test_the_time_of_interrupted_attempts_counts(scripted):
  out, stages = scripted
  ledger = demo.Ledger(out / "demo.json")
  ledger.open(stages[0])(10.0, 1.0)
  again = demo.Ledger(out / "demo.json")
  assert not again.is_done(stages[0])
  again.open(stages[0])(5.0, 0.5)
  again.close(stages[0])
  assert again.seconds == 15.0
  assert again.peak_gb == 1.0


def test_time_memory_and_status_of_a_command_are_told():
  # In a process of its own: that of the tests has grown and has children.
  command = "x = bytearray(300_000_000); import time; time.sleep(1); exit(4)"
  code = "import psutil; from launch.watched import run_watched;"
  code += f"told = []; status = run_watched(['-c', {command!r}],"
  code += " lambda *args: told.append(args));"
  code += "ours = psutil.Process().memory_info().rss / 2**30;"
  code += "print(status, told[-1][0], told[-1][1] - ours)"
  run = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  status, seconds, gigabytes = map(float, run.stdout.split())
  assert status == 4
  assert 1 < seconds < 20
  assert 0.27 < gigabytes < 0.4


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux promise")
def test_a_stage_does_not_outlive_a_killed_demo(tmp_path):
  pid_file = tmp_path / "pid"
  inner = f"import os, time; open({str(pid_file)!r}, 'w').write("
  inner += "str(os.getpid())); time.sleep(60)"
  outer = "from launch.watched import run_watched;"
  outer += f"run_watched(['-c', {inner!r}], print)"
  parent = subprocess.Popen([sys.executable, "-c", outer])
  for _ in range(200):
    time.sleep(0.05)
    if pid_file.exists() and pid_file.read_text():
      break
  child = psutil.Process(int(pid_file.read_text()))
  os.kill(parent.pid, signal.SIGKILL)
  parent.wait()
  psutil.wait_procs([child], timeout=5)
  assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path, monkeypatch):
  def run_inside(out, plan):
    return demo.main(["--out", str(tmp_path)])

  monkeypatch.setattr(demo, "run_demo", run_inside)
  with pytest.raises(UserError, match="another command is at work"):
    demo.main(["--out", str(tmp_path)])


def test_the_seed_and_sizes_reach_the_commands(tmp_path):
  plan = Plan(seed=7, clips=9, held_out=3, talker=("--config.run.steps=5",))
  stages = make_stages(tmp_path, plan)
  assert len(stages) == 9
  words = " ".join(" ".join(stage.command) for stage in stages)
  for part in ("--seed 7", "--clips 9 --held-out 3", "--config.run.steps=5"):
    assert part in words
  assert len({stage.name for stage in stages}) == 9


def test_the_controls_of_the_demo_are_valid_and_change_midway():
  emotions = ["neutral", "happy", "sad"]
  controls = (
    types.SimpleNamespace(name="pose", kind="continuous", size=3),
    types.SimpleNamespace(name="emotion", kind="categorical", size=3),
  )
  schedule = parse_controls(
    demo_controls(100, emotions), controls, {"emotion": emotions}, 100
  )
  values, given = schedule.span(0, 100)
  assert given["pose"].all()
  assert values["pose"][0, 0] < -0.4
  assert values["pose"][99, 0] > 0.4
  assert abs(values["pose"][1:, 0] - values["pose"][:-1, 0]).max() < 0.1
  assert values["emotion"][[0, 49, 50, 99], 0].tolist() == [1, 1, 2, 2]


def test_the_summary_shows_every_target_and_where_to_look(tmp_path):
  metrics = {"lip": 0.85, "yaw": 0.5, "wall_seconds": 600, "lip_ceiling": 0.97}
  metrics |= {"lip_copy_baseline": 0.0, "lip_wrong_audio_own_ceiling": 0.19}
  text = demo.summary(tmp_path, metrics)
  (lip,) = [line for line in text.splitlines() if "own speech" in line]
  assert lip.split()[-3:] == ["0.80", "0.85", "pass"]
  assert "FAIL" in text
  assert "0.97 on real video" in text and "agree by 0.19" in text
  assert str(tmp_path / "report.html") in text
