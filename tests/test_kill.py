"""SIGKILL at points of a save, and at any other moment."""

import killing
import pytest

# One of each kind: arrays, the commit, the manifest, what is deleted.
FEW = [
  {"point": "some arrays written"},
  {"point": "before the commit"},
  {"point": "before the manifest"},
  {"point": "old step half deleted"},
  {"delay": 0.5, "training": True},
]
EVERY = killing.plan(len(killing.POINTS) + 3, seed=5)


@pytest.mark.parametrize(
  ("moments", "steps"),
  [(FEW, 60), pytest.param(EVERY, 120, marks=pytest.mark.proof)],
  ids=["few", "every"],
)
def test_killed_in_a_save_and_elsewhere_it_is_bitwise_one_run(
  tmp_path, moments, steps
):
  workdir = tmp_path / "killed" / "run"
  workdir.mkdir(parents=True)
  for moment in moments:
    killing.kill_once(workdir, steps, **moment)
  killing.compare(workdir, steps, killing.train_whole(tmp_path, steps))
