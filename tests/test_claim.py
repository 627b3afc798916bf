"""A start locks, compares and then writes: who is refused changes nothing."""

import hashlib
import os
import signal
import time

import pytest
from tiny import Batches, run_config, train

from eartalk_jax.checkpoints.checkpoint_files import checkpoints_of
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.checkpoints.claim import Claim, holding
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.processes.watchdog import Watchdog
from eartalk_jax.telemetry import events
from eartalk_jax.telemetry.events import read_events
from eartalk_jax.training.sharding import MeshConfig

FIRST, OTHER = Claim({"model": {"width": 1}}), Claim({"model": {"width": 2}})


def content(folder):
  """{path: digest} of all that is in a folder."""
  return {
    path.relative_to(folder).as_posix(): path.is_file()
    and hashlib.sha256(path.read_bytes()).hexdigest()
    for path in folder.rglob("*")
  }


class Meanwhile(Batches):
  """Does something when batch number 3 is asked for, which is no compiling."""

  def __init__(self, act):
    super().__init__()
    self.act = act

  def iterate(self, step):
    for number, batch in enumerate(super().iterate(step)):
      if number == 3:
        self.act()
      yield batch


def test_a_second_start_changes_nothing_of_the_first(tmp_path, monkeypatch):
  monkeypatch.setattr(events, "BEAT", 1e6)
  seen = []

  def second():
    before = content(tmp_path)
    with pytest.raises(UserError, match="another process trains in"):
      train(tmp_path, run_config(seed=1), claim=OTHER)
    assert content(tmp_path) == before
    seen.append(before)

  train(tmp_path, claim=FIRST, batches=Meanwhile(second))
  assert {"config.json", "events.jsonl"} <= seen[0].keys()
  assert read_json(tmp_path / "config.json") == FIRST.config
  train(tmp_path, claim=FIRST)  # goes on, as before


def test_a_start_that_fails_leaves_the_config_of_the_run_before(tmp_path):
  class Killed(Exception):
    pass

  def die():
    raise Killed

  with pytest.raises(Killed):
    train(tmp_path, claim=FIRST, batches=Meanwhile(die))
  assert read_json(tmp_path / "config.json") == FIRST.config

  class Unreadable(Batches):
    def iterate(self, step):
      raise UserError("the first batch cannot be read")

  for changes, message in (
    ({"run": run_config(mesh=MeshConfig(3))}, "mesh data=3"),
    ({"run": run_config(batch_size=9)}, "batch_size 9"),
    ({"run": run_config(start_from=f"{tmp_path}@7")}, "no step 7"),
    ({"profile": (3, 99)}, "profile ends with step 99"),
    ({"rules": ()}, "no sharding rule"),
    ({"batches": Unreadable()}, "first batch"),
  ):
    with pytest.raises(UserError, match=message):
      train(tmp_path, claim=OTHER, **changes)
    assert read_json(tmp_path / "config.json") == FIRST.config, message


def test_what_follows_the_last_step_is_locked_watched_and_done_again(
  tmp_path, monkeypatch
):
  watched, seen = [], []
  leave = Watchdog.__exit__

  def leaving(*args):
    leave(*args)
    watched.append(False)

  monkeypatch.setattr(Watchdog, "__exit__", leaving)

  def finish():
    assert read_events(tmp_path)[-1]["phase"] == "finish"
    assert not watched
    with pytest.raises(UserError, match="another process trains in"):
      train(tmp_path)
    seen.append(load_ema(tmp_path)[0])
    if len(seen) == 1:
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(60)

  run = run_config(steps=2)
  with pytest.raises(SystemExit) as end:
    train(tmp_path, run, finish=finish)
  assert end.value.code == 143
  watched.clear()
  train(tmp_path, run, finish=finish)
  assert seen == [2, 2]


@pytest.mark.parametrize(
  "saved",
  ["", "[]", "5", "{", '{"run": 5}', '{"model": NaN}', "[" * 9999]
  + ['{"run": {"steps": "x", "optimizer": [1]}, "model": null}'],
)
def test_a_config_that_is_rubbish_is_a_line(tmp_path, saved):
  step = checkpoints_of(tmp_path) / "3"
  step.mkdir(parents=True)
  (step / "commit_success.txt").touch()
  (tmp_path / "config.json").write_text(saved)
  run = {"steps": 9, "optimizer": {"decay": "cosine"}}
  with pytest.raises(UserError, match="copy it again|another configuration"):
    Claim({"model": {"width": 1}, "run": run}).check(tmp_path)


def test_the_lock_ends_with_the_context(tmp_path):
  for _ in range(2):
    with (
      holding(tmp_path),
      pytest.raises(UserError, match="another process"),
      holding(tmp_path),
    ):
      pass
