"""A run goes on elsewhere, longer, or as a branch: with the same numbers."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from tiny import Batches, run_config, train

from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import OptimizerConfig
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.training.sharding import AXES


def schedule(decay, steps, **changes):
  optimizer = OptimizerConfig(
    peak_lr=1e-2,
    warmup_steps=5,
    weight_decay=0.1,
    decay=decay,
    decay_steps=6 if decay == "wsd" else 0,
  )
  settings = {"steps": steps, "optimizer": optimizer, "log_every": 1}
  return run_config(**settings | changes)


def mesh_of(data, fsdp):
  shape = (data, fsdp) + (1,) * (len(AXES) - 2)
  return jax.make_mesh(
    shape,
    AXES,
    axis_types=(AxisType.Auto,) * len(AXES),
    devices=jax.devices()[: data * fsdp],
  )


class Recorded(Batches):
  def __init__(self):
    super().__init__()
    self.seen = []

  def batch(self, step):
    batch = super().batch(step)
    self.seen.append((step, batch["x_BF"].tobytes()))
    return batch


def losses(workdir):
  return [line["loss"] for line in read_metrics(workdir)]


def assert_bitwise(one, other):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_devices_may_come_and_go_within_a_run(tmp_path, capsys):
  expected, taken = Recorded(), []
  train(tmp_path / "whole", schedule("constant", 24), batches=expected)
  for data, fsdp, steps in ((8, 1, 6), (2, 2, 12), (1, 2, 18), (4, 2, 24)):
    batches = Recorded()
    train(
      tmp_path / "parts",
      schedule("constant", steps),
      batches=batches,
      mesh=mesh_of(data, fsdp),
    )
    taken += batches.seen[:6]  # one more is read ahead
  assert taken == expected.seen[:24]
  np.testing.assert_allclose(
    losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-5
  )
  out = capsys.readouterr().out
  assert "processes=1 on the mesh data 8 x fsdp 1" in out
  assert "going on with 1 on data 2 x fsdp 2" in out


@pytest.mark.parametrize("decay", ["constant", "wsd"])
def test_a_longer_run_goes_on_if_its_rate_was_the_same_so_far(tmp_path, decay):
  whole = train(tmp_path / "whole", schedule(decay, 30))
  train(tmp_path / "parts", schedule("constant", 20))
  assert_bitwise(train(tmp_path / "parts", schedule(decay, 30)), whole)
  assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_a_rate_that_was_another_is_refused(tmp_path):
  train(tmp_path, schedule("wsd", 20))
  with pytest.raises(UserError, match="run.steps was 20 and is now 30"):
    train(tmp_path, schedule("wsd", 30))
  shutil.rmtree(tmp_path)
  train(tmp_path, schedule("cosine", 10))
  with pytest.raises(UserError, match="run.steps was 10 and is now 11"):
    train(tmp_path, schedule("cosine", 11))
  # What is not the schedule's is never forgiven with it.
  shutil.rmtree(tmp_path)
  train(tmp_path, schedule("constant", 10))
  run = dataclasses.replace(schedule("constant", 20), seed=1)
  with pytest.raises(UserError, match="run.seed was 0 and is now 1; set that"):
    train(tmp_path, run)


def test_a_branch_cools_down_to_the_bits_of_a_run_from_scratch(tmp_path):
  long, branch = tmp_path / "long", tmp_path / "branch"
  train(long, schedule("constant", 40, keep=1, keep_every=10))
  names = {path.name for path in (long / "checkpoints").iterdir()}
  assert names == {"10", "20", "30", "40"}
  run = schedule("wsd", 26, start_from=f"{long}@20")
  scratch = dataclasses.replace(run, start_from="")
  whole = train(tmp_path / "scratch", scratch)
  assert_bitwise(train(branch, run), whole)
  assert losses(branch) == losses(tmp_path / "scratch")[20:]
  # The branch has checkpoints of its own and needs its parent no more.
  shutil.rmtree(long)
  shutil.rmtree(branch / "checkpoints" / "26")
  assert_bitwise(train(branch, run), whole)


def test_a_branch_must_begin_where_there_is_something(tmp_path):
  train(tmp_path / "long", schedule("constant", 10))
  for start, message in (
    (f"{tmp_path}/long", "write it as WORKDIR@STEP"),
    (f"{tmp_path}/long@7", "no step 7 in .*; there: 5, 10"),
    (f"{tmp_path}/nothing@5", "no step 5 in .*; there: none"),
  ):
    with pytest.raises(UserError, match=message):
      train(tmp_path / "x", schedule("wsd", 16, start_from=start))
  # The rate would have fallen from step 8 on.
  run = schedule("wsd", 14, start_from=f"{tmp_path}/long@10")
  with pytest.raises(UserError, match="run.optimizer.decay was 'constant'"):
    train(tmp_path / "x", run)


class Poisoned(Batches):
  def batch(self, step):
    batch = super().batch(step)
    if step == 4:
      batch["x_BF"][0, 0] = np.nan
    return batch


def test_a_stop_between_two_lines_of_metrics_changes_neither(tmp_path):
  run = run_config(log_every=4, save_every=5, diagnose_every=100, keep=3)

  def lines():
    timed = ("steps_per_second", "data_wait")
    return [
      {name: line[name] for name in line if name not in timed}
      for line in read_metrics(tmp_path)
    ]

  train(tmp_path, run, batches=Poisoned())
  whole = lines()
  assert [line["step"] for line in whole] == [4, 8, 12]
  assert whole[1]["skipped"] == 1, "of step 5, before the stop"
  for later in ("10", "12"):
    shutil.rmtree(tmp_path / "checkpoints" / later)
  assert (tmp_path / "checkpoints" / "5").is_dir()
  train(tmp_path, run, batches=Poisoned())
  assert lines() == whole
