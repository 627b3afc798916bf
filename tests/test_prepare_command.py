"""launch.prepare as a user runs it."""

import pathlib
import signal
import subprocess
import sys
import time

from videos import make_folder, prepare, shard_bytes

ROOT = pathlib.Path(__file__).parents[1]


def command(source, out, *more):
  line = [sys.executable, "-m", "launch.prepare", "--out", str(out)]
  line += ["--size", "32", "--files-per-shard", "2"]
  if source:
    line += ["--input", str(source)]
  return [*line, *more]


def test_killed_and_started_again_gives_the_same_bytes(tmp_path):
  (tmp_path / "in").mkdir()
  folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
  prepare(folder, tmp_path / "want")
  process = subprocess.Popen(
    command(folder, out, "--workers", "2"), cwd=ROOT, stdout=subprocess.DEVNULL
  )
  while process.poll() is None and not list(out.glob("frames-clips*")):
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  process.wait()
  done = subprocess.run(
    command(folder, out), cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert "kept" in done.stdout and "75.0%" in done.stdout
  assert "not_a_video" in done.stdout
  assert shard_bytes(out) == shard_bytes(tmp_path / "want")


def test_the_command_ends_with_status_2_when_nothing_is_kept(tmp_path):
  (tmp_path / "in").mkdir()
  (tmp_path / "in" / "a.mp4").write_text("no video")
  done = subprocess.run(
    command(tmp_path / "in", tmp_path / "out", "--workers", "1"),
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert "error: nothing was kept (1 not_a_video)" in done.stderr
  assert "Traceback" not in done.stderr
