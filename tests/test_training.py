"""The loop: any mesh, any interruption, the same numbers."""

import jax
import numpy as np
import pytest
from tiny import Batches, run_config, train

from eartalk_jax.metrics import read_metrics
from eartalk_jax.sharding import MeshConfig


def leaves(tree):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_bitwise(one, other):
  for a, b in zip(leaves(one), leaves(other), strict=True):
    np.testing.assert_array_equal(a, b)


def test_training_lowers_the_loss_and_writes_every_line_once(tmp_path):
  train(tmp_path, run_config(steps=60))
  lines = read_metrics(tmp_path)
  assert [line["step"] for line in lines] == list(range(2, 61, 2))
  assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]


def test_stopped_and_resumed_is_bitwise_one_run(tmp_path):
  whole = train(tmp_path / "whole")
  seen = []

  class Stop(Exception):
    pass

  class Failing(Batches):
    def iterate(self, step):
      for batch in super().iterate(step):
        seen.append(step)
        if len(seen) == 8:
          raise Stop
        yield batch

  with pytest.raises(Stop):
    train(tmp_path / "parts", batches=Failing())
  parts = train(tmp_path / "parts")
  assert_bitwise(whole, parts)
  steps = [line["step"] for line in read_metrics(tmp_path / "parts")]
  assert steps == [2, 4, 6, 8, 10, 12]


def test_a_finished_run_returns_at_once(tmp_path, capsys):
  first = train(tmp_path)
  again = train(tmp_path)
  assert_bitwise(first, again)
  assert "all 12 steps are done" in capsys.readouterr().out


@pytest.mark.parametrize("mesh", [(8, 1, 1), (2, 4, 1), (2, 2, 2), (1, 1, 8)])
def test_any_mesh_gives_the_same_loss(tmp_path, mesh):
  train(tmp_path / "many", run_config(mesh=MeshConfig(*mesh)))
  one = jax.make_mesh(
    (1, 1, 1),
    ("data", "fsdp", "tensor"),
    axis_types=(jax.sharding.AxisType.Auto,) * 3,
    devices=jax.devices()[:1],
  )
  train(tmp_path / "one", mesh=one)
  for a, b in zip(
    read_metrics(tmp_path / "many"), read_metrics(tmp_path / "one"), strict=True
  ):
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
