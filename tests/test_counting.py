import io
import threading
import time

import pytest

from eartalk_jax import counting as module


def test_lines_tell_what_is_done_and_what_is_left():
  line = module.progress_line("draw", 25, 100, "frames", 10)
  assert line == "draw: 25/100 frames, 0:00:10, ETA 0:00:30"
  assert module.progress_line("draw", 3, None, "frames", 3700) == (
    "draw: 3 frames, 1:01:40"
  )


def test_silent_work_is_still_seen_without_a_terminal(monkeypatch):
  monkeypatch.setattr(module, "SILENCE_S", 0.02)
  out = io.StringIO()
  with module.counting("compile", 1, "steps", out) as advance:
    time.sleep(0.15)
    advance()
  lines = out.getvalue().splitlines()
  assert len(lines) > 3
  assert lines[0] == "compile: 0/1 steps, 0:00:00"
  assert lines[-1] == "compile: 1/1 steps, 0:00:00"


def test_a_heartbeat_that_cannot_be_printed_is_for_the_main_thread(monkeypatch):
  class Closed(io.StringIO):
    def write(self, text):
      raise BrokenPipeError

  def work():
    with module.counting("compile", 1, "steps", Closed()):
      time.sleep(0.1)

  failed = []
  monkeypatch.setattr(threading, "excepthook", failed.append)
  monkeypatch.setattr(module, "SILENCE_S", 0.02)
  with pytest.raises(BrokenPipeError):
    work()
  assert not failed
