"""Spikes are skipped, written down, and end a run when they do not end."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Batches, init_params, loss_fn, run_config, train

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.training.guard import GuardConfig, init_guard, limits, remember
from eartalk_jax.training.sharding import MeshConfig
from eartalk_jax.training.train_step import make_init, make_step

EARLY = GuardConfig(window=8)
INF = float("inf")


def fill(config, losses, norms):
  state = init_guard(config)
  for loss, norm in zip(losses, norms, strict=True):
    state = remember(state, jnp.float32(loss), jnp.float32(norm))
  return state


def poison(batch, how):
  """NaN in one row, or a gradient a thousand times as large."""
  if how == "nan":
    batch["x_BF"][3, 0] = np.nan
  else:
    batch["y_BF"] *= 1000
  return batch


class Poisoned(Batches):
  """Batches with names, and with something wrong at some steps."""

  def __init__(self, how, steps):
    super().__init__()
    self.how, self.steps = how, steps

  def batch(self, step):
    batch = super().batch(step)
    return poison(batch, self.how) if step in self.steps else batch

  def batch_ids(self, step):
    return [[f"clip{step}", row] for row in range(self.rows)]


def skipped(workdir):
  lines = (workdir / "skipped.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def assert_bitwise(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_limits_are_medians_and_deviations_of_the_last_steps():
  rng = np.random.default_rng(0)
  losses, norms = rng.normal(3, 1, 21), rng.lognormal(0, 1, 21)
  config = GuardConfig(window=9, sigmas=4.0)
  found = limits(config, fill(config, losses, norms))

  def expected(values):
    median = np.median(values)
    return median + 4 * 1.4826 * np.median(np.abs(values - median))

  norm = np.exp(expected(np.log(norms[-9:])))
  np.testing.assert_allclose(found, [expected(losses[-9:]), norm], rtol=1e-5)


def test_a_very_even_run_gets_a_floor():
  config = GuardConfig(window=8, sigmas=4.0)
  found = limits(config, fill(config, [2.0] * 8, [3.0] * 8))
  np.testing.assert_allclose(found, [2 * 1.2, 3 * np.exp(0.4)], rtol=1e-5)


def test_nothing_is_a_spike_before_the_window_is_full_or_when_off():
  assert limits(EARLY, fill(EARLY, [1.0] * 7, [1.0] * 7)) == (INF, INF)
  full = fill(EARLY, [1.0] * 8, [1.0] * 8)
  assert max(limits(EARLY, full)) < INF
  off = dataclasses.replace(EARLY, sigmas=0.0)
  assert limits(off, full) == (INF, INF)


def test_a_norm_of_zero_does_not_blind_the_guard():
  state = fill(EARLY, [0.0] * 8, [0.0] * 8)
  assert not np.isnan(limits(EARLY, state)).any()


@pytest.mark.parametrize("how", ["nan", "1000x"])
def test_a_skipped_step_changes_nothing_but_its_number(how):
  run = run_config(guard=EARLY)
  key = jax.random.key(1)
  state = make_init(run, init_params)(jax.random.key(0))
  step = jax.jit(make_step(run, loss_fn))
  for number in range(8):
    state, metrics = step(state, None, Batches().batch(number), key)
    assert metrics["skipped"] == 0
  new, metrics = step(state, None, poison(Batches().batch(8), how), key)
  assert (metrics["skipped"], metrics["skipped_total"]) == (1, 1)
  assert_bitwise(new, state.replace(step=state.step + 1))
  after, metrics = step(new, None, Batches().batch(9), key)
  assert (metrics["skipped"], metrics["skipped_total"]) == (0, 1)
  assert np.any(after.params["up"]["kernel"] != new.params["up"]["kernel"])


@pytest.mark.parametrize("mesh", [(8, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize(
  ("how", "reason"), [("nan", "not finite"), ("1000x", "loss spike")]
)
def test_one_bad_batch_is_one_skip_with_its_samples(
  tmp_path, capsys, mesh, how, reason
):
  run = run_config(guard=EARLY, steps=14, mesh=MeshConfig(*mesh))
  state = train(tmp_path, run, batches=Poisoned(how, {9}))
  assert (int(state.step), int(state.guard.count)) == (14, 13)
  (line,) = skipped(tmp_path)
  assert line["step"] == 10 and line["reason"] == reason
  assert line["samples"] == [["clip9", row] for row in range(8)]
  assert [m["skipped"] for m in read_metrics(tmp_path)] == [0] * 4 + [1, 0, 0]
  assert read_metrics(tmp_path)[-1]["skipped_total"] == 1
  assert f"step 10 skipped: {reason}" in capsys.readouterr().out
  # Every copy of an array is the same on its device.
  for leaf in jax.tree.leaves(state):
    whole = np.asarray(leaf)
    assert np.isfinite(whole).all()
    for shard in leaf.addressable_shards:
      np.testing.assert_array_equal(shard.data, whole[shard.index])


@pytest.mark.parametrize(
  ("spikes", "other", "reason"),
  [
    ("loss", "grad_norm", "loss spike"),
    ("grad_norm", "loss", "gradient spike"),
  ],
)
def test_loss_or_gradient_may_spike_alone(tmp_path, spikes, other, reason):
  def odd(params, frozen, batch, key):
    loss, metrics = loss_fn(params, frozen, batch, key)
    more = batch["odd_B"].mean() * loss
    flat = jax.lax.stop_gradient(more)
    return loss + (flat if spikes == "loss" else more - flat), metrics

  class Odd(Poisoned):
    def batch(self, step):
      times = 999.0 if step in self.steps else 0.0
      odd_B = np.full(self.rows, times, np.float32)
      return Batches().batch(step) | {"odd_B": odd_B}

  run = run_config(guard=EARLY)
  train(tmp_path, run, loss_fn=odd, batches=Odd("", {9}))
  (line,) = skipped(tmp_path)
  assert line["reason"] == reason
  assert line[spikes] > 10 * line[spikes + "_limit"]
  assert line[other] < line[other + "_limit"]


def test_a_lasting_change_stops_the_run_and_may_be_allowed(tmp_path):
  run = run_config(guard=dataclasses.replace(EARLY, streak=4), steps=40)
  batches = Poisoned("1000x", set(range(20, 40)))
  with pytest.raises(UserError, match="4 steps in a row .* step 24.*sigmas"):
    train(tmp_path, run, batches=batches)
  assert [line["step"] for line in skipped(tmp_path)] == [21, 22, 23, 24]
  off = dataclasses.replace(run, guard=GuardConfig(window=8, sigmas=0.0))
  state = train(tmp_path, off, batches=batches)
  assert int(state.guard.count) == 40 and skipped(tmp_path) == []


def test_spikes_that_come_and_go_are_no_streak(tmp_path):
  run = run_config(guard=dataclasses.replace(EARLY, streak=2), steps=20)
  state = train(tmp_path, run, batches=Poisoned("1000x", {10, 12, 14, 16}))
  assert int(state.guard.count) == 16


def test_a_killed_run_judges_and_writes_as_if_it_had_not_been(tmp_path):
  run = run_config(guard=EARLY, steps=16)
  bad = {9, 11}

  class Stop(Exception):
    pass

  class Failing(Poisoned):
    def iterate(self, step):
      for batch in super().iterate(step):
        if step > 0 and batch["x_BF"][0, 0] == stop["x_BF"][0, 0]:
          raise Stop
        yield batch
        step += 1

  stop = Batches().batch(14)
  whole = train(tmp_path / "whole", run, batches=Poisoned("1000x", bad))
  with pytest.raises(Stop):
    train(tmp_path / "parts", run, batches=Failing("1000x", bad))
  # The last checkpoint is of step 10; both spikes were seen.
  assert len(skipped(tmp_path / "parts")) == 2
  parts = train(tmp_path / "parts", run, batches=Poisoned("1000x", bad))
  assert_bitwise(whole, parts)
  assert skipped(tmp_path / "parts") == skipped(tmp_path / "whole")
  assert [line["step"] for line in skipped(tmp_path / "parts")] == [10, 12]


@pytest.mark.parametrize(
  "name, value", [("window", 4), ("sigmas", -1.0), ("streak", 0)]
)
def test_nonsense_is_refused(name, value):
  with pytest.raises(UserError, match=f"{name} is {value}; give"):
    from_config(GuardConfig, {name: value})
