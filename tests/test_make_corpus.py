"""The command: parts, reruns, kills, mistakes."""

import os
import signal
import subprocess
import sys
import time

import av
import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.locks import lock
from launch import make_corpus

COMMAND = [sys.executable, "-m", "launch.make_corpus"]


def command(out, clips=3, seed=1, **flags):
  flags = {"seconds": 0.5, "held-out": 1, "workers": 1} | flags
  given = [f"--{name}={value}" for name, value in flags.items()]
  return [
    *COMMAND,
    f"--out={out}",
    f"--clips={clips}",
    f"--seed={seed}",
  ] + given


@pytest.fixture
def run(monkeypatch):
  """Runs the command in this process."""

  def run(*args, **flags):
    monkeypatch.setattr(sys, "argv", command(*args, **flags)[2:])
    return make_corpus.main()

  return run


def films(root):
  return {p: p.stat().st_mtime_ns for p in root.glob("*/*.mp4")}


def probe_seconds(film):
  with av.open(str(film)) as opened:
    return opened.duration / av.time_base


@pytest.fixture
def corpus(tmp_path, run):
  run(tmp_path)
  return tmp_path


def test_the_parts_are_as_large_as_asked(corpus):
  assert len(list(corpus.glob("train/*.mp4"))) == 2
  assert len(list(corpus.glob("held_out/*.mp4"))) == 1
  for film in films(corpus):
    assert film.with_suffix(".truth.json").exists()


def test_a_rerun_makes_nothing_anew_and_a_larger_one_adds(corpus, run, capsys):
  before = films(corpus)
  run(corpus, clips=4)
  assert "3 were there" in capsys.readouterr().out
  after = films(corpus)
  assert len(after) == 4
  assert before.items() <= after.items()


def test_a_share_of_the_clips_is_held_out(tmp_path, run):
  run(tmp_path, clips=4, **{"held-out": 0.25})
  assert len(list(tmp_path.glob("train/*.mp4"))) == 3
  assert len(list(tmp_path.glob("held_out/*.mp4"))) == 1


def test_held_out_clips_have_a_length_of_their_own(tmp_path, run):
  run(tmp_path, **{"held-out-seconds": 1.0})
  lengths = {film.parent.name: probe_seconds(film) for film in films(tmp_path)}
  assert lengths["train"] == pytest.approx(0.5, abs=0.1)
  assert lengths["held_out"] == pytest.approx(1.0, abs=0.1)


def test_a_killed_run_leaves_whole_files_and_goes_on(tmp_path, run):
  process = subprocess.Popen(
    command(tmp_path, clips=8, workers=2, seconds=1.0),
    stdout=subprocess.DEVNULL,
    start_new_session=True,
  )
  for _ in range(600):
    if films(tmp_path):
      break
    time.sleep(0.05)
  os.killpg(process.pid, signal.SIGKILL)
  process.wait()
  assert 0 < len(films(tmp_path)) < 8
  for film in films(tmp_path):
    with av.open(str(film)) as opened:
      assert sum(1 for _ in opened.decode(video=0)) > 20
  run(tmp_path, clips=8, seconds=1.0)
  assert len(films(tmp_path)) == 8
  assert not list(tmp_path.glob("*/.*"))


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    ({"seed": 2}, "seed"),
    ({"seconds": 0.7}, "seconds"),
    ({"clips": 0}, "--clips"),
    ({"held-out": 9}, "--held-out"),
    ({"seconds": 0.01}, "--seconds"),
    ({"held-out-seconds": 0.01}, "--held-out-seconds"),
    ({"workers": 0}, "--workers"),
  ],
)
def test_mistakes_are_named(corpus, run, flags, said):
  with pytest.raises(UserError, match=said):
    run(corpus, **flags)


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    ({"seconds": "nan"}, "--seconds"),
    ({"held-out-seconds": "inf"}, "--held-out-seconds"),
    ({"held-out": "nan"}, "--held-out"),
    ({"clips": "1e3"}, "--clips"),
    ({"seed": -1}, "--seed"),
  ],
)
def test_what_is_no_number_is_named_before_any_work(tmp_path, run, flags, said):
  with pytest.raises(UserError, match=said):
    run(tmp_path / "new", **flags)
  assert not list(tmp_path.iterdir())


def test_a_folder_with_something_else_is_left_alone(tmp_path, run):
  film = tmp_path / "train" / "clip_0000.mp4"
  film.parent.mkdir()
  film.write_text("mine")
  with pytest.raises(UserError, match="holds something else"):
    run(tmp_path)
  assert film.read_text() == "mine"
  assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_second_command_is_refused(tmp_path, run):
  held = lock(tmp_path)
  with pytest.raises(UserError, match="another command is at work in"):
    run(tmp_path)
  os.close(held)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_damaged_note_is_named(tmp_path, run, text):
  (tmp_path / "corpus.json").write_text(text)
  with pytest.raises(UserError, match="corpus.json.* delete"):
    run(tmp_path)
