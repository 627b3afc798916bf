"""The loop: any mesh, any interruption, the same numbers."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Batches, init_params, loss_fn, run_config, train

from eartalk_jax.errors import UserError
from eartalk_jax.optimization import optimizer
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.training.sharding import MeshConfig, make_mesh
from eartalk_jax.training.train_step import make_init, make_step


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


@pytest.mark.parametrize("matrices", ["adam", "muon"])
def test_stopped_and_resumed_is_bitwise_one_run(
  tmp_path, monkeypatch, matrices
):
  # The stand-in's matrices are narrow; let Muon have them.
  monkeypatch.setattr(optimizer, "_NARROW", 1)
  run = run_config()
  run = dataclasses.replace(
    run, optimizer=dataclasses.replace(run.optimizer, matrices=matrices)
  )
  whole = train(tmp_path / "whole", run)
  seen = []

  class Stop(Exception):
    pass

  class Failing(Batches):
    def iterate(self, step):
      for batch in super().iterate(step):
        seen.append(step)
        if len(seen) == 10:
          raise Stop
        yield batch

  with pytest.raises(Stop):
    train(tmp_path / "parts", run, batches=Failing())
  assert read_metrics(tmp_path / "parts")[-1]["step"] > 5
  parts = train(tmp_path / "parts", run)
  assert_bitwise(whole, parts)
  steps = [line["step"] for line in read_metrics(tmp_path / "parts")]
  assert steps == [2, 4, 6, 8, 10, 12]


def test_a_finished_run_returns_at_once(tmp_path, capsys):
  first = train(tmp_path)
  again = train(tmp_path)
  assert_bitwise(first, again)
  assert "all 12 steps are done" in capsys.readouterr().out


@pytest.fixture(scope="module")
def lines_of_one_device(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("one")
  train(workdir, mesh=make_mesh(devices=jax.devices()[:1]))
  return read_metrics(workdir)


@pytest.mark.parametrize("mesh", [(8, 1, 1), (2, 4, 1), (2, 2, 2), (1, 1, 8)])
def test_any_mesh_gives_the_same_loss(tmp_path, lines_of_one_device, mesh):
  train(tmp_path, run_config(mesh=MeshConfig(*mesh)))
  for a, b in zip(read_metrics(tmp_path), lines_of_one_device, strict=True):
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)


class Poisoned(Batches):
  """Batches with a NaN at some steps."""

  def __init__(self, steps):
    super().__init__()
    self.steps = steps

  def batch(self, step):
    batch = super().batch(step)
    if step in self.steps:
      batch["x_BF"][3, 0] = np.nan
    return batch


def test_a_bad_batch_is_skipped_counted_and_kept_out_of_the_curves(tmp_path):
  state = train(tmp_path, batches=Poisoned({2, 4, 5}))
  lines = read_metrics(tmp_path)
  assert [line["skipped"] for line in lines] == [0, 1, 2, 0, 0, 0]
  assert np.isfinite(lines[1]["loss"]) and lines[2]["loss"] is None
  assert all(np.isfinite(leaf).all() for leaf in leaves(state.params))
  assert int(state.opt[1].count) == 12 - 3


def test_a_run_that_is_lost_stops_with_the_reason(tmp_path):
  run = run_config(steps=60)
  with pytest.raises(
    UserError, match="20 steps in a row were skipped, up to step 27"
  ):
    train(tmp_path, run, batches=Poisoned(set(range(7, 60))))


def test_diagnostics_see_the_average_and_share_the_line_of_their_step(tmp_path):
  def diagnose(params, frozen, batch, key):
    return {"size": jnp.sum(params["up"]["kernel"] ** 2), "rows": len(batch)}

  state = train(tmp_path, run_config(steps=12), diagnose=diagnose)
  lines = read_metrics(tmp_path)
  assert [line["step"] for line in lines if "size" in line] == [6, 12]
  size = np.sum(np.asarray(state.ema["up"]["kernel"]) ** 2)
  np.testing.assert_allclose(lines[-1]["size"], size, rtol=1e-5)


def test_waiting_for_data_is_measured_and_reported(tmp_path, capsys):
  class Slow(Batches):
    def batch(self, step):
      time.sleep(0.6)
      return super().batch(step)

  train(tmp_path, run_config(steps=6, log_every=6), batches=Slow())
  (line,) = read_metrics(tmp_path)
  assert line["data_wait"] > 0.5
  out = capsys.readouterr().out
  assert "spent waiting for data" in out
  assert "compiling" in out and "ETA" in out


def test_the_step_donates_its_state():
  run = run_config()
  batch, key = Batches().batch(0), jax.random.key(0)
  init = make_init(run, init_params)
  state = jax.block_until_ready(jax.jit(init)(key))
  step = jax.jit(make_step(run, loss_fn), donate_argnums=0)
  new, _ = step(state, None, batch, key)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(new))
