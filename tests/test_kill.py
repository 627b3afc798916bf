"""SIGKILL at every point of a save, and at any other moment."""

import pathlib

import killing
import pytest


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  return tmp_path_factory.mktemp("kill")


def test_killed_at_every_point_of_a_save_is_bitwise_one_run(root):
  steps, seed = 120, 5
  workdir = pathlib.Path(root / "killed" / "run")
  workdir.mkdir(parents=True)
  for moment in killing.plan(len(killing.POINTS) + 1, seed):
    killing.kill_once(workdir, steps, **moment)
  killing.compare(workdir, steps, killing.train_whole(root, steps))
