"""Several microbatches are one batch."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Batches, Regression, init_params, run_config, train

from eartalk_jax.errors import UserError
from eartalk_jax.training.accumulation import differentiate
from eartalk_jax.training.sharding import MeshConfig, make_mesh, put_batch

PARAMS = init_params(jax.random.key(0))
KEY = jax.random.key(1)


def error_B(params, batch):
  y_BF = Regression().apply({"params": params}, batch["x_BF"])
  return jnp.mean((y_BF - batch["y_BF"]) ** 2, axis=-1)


def plain(params, frozen, batch, key):
  error = error_B(params, batch)
  return error.mean(), {"largest_row": error.mean() ** 2}


def masked(params, frozen, batch, key):
  """A mean over the rows that count, whose number it tells."""
  counts = batch["counts_B"].astype(jnp.float32)
  weight = counts.sum()
  mean = jnp.sum(counts * error_B(params, batch)) / jnp.maximum(weight, 1)
  return mean, {"mean": mean, "weight": weight}


def masked_batch(counted):
  counts = np.zeros(24, bool)
  counts[list(counted)] = True
  return Batches(24).batch(0) | {"counts_B": counts}


def run_jitted(loss_fn, microbatches, batch):
  return jax.jit(differentiate(loss_fn, microbatches))(PARAMS, None, batch, KEY)


def assert_close(one, other):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7),
    one,
    other,
  )


def test_what_has_no_numbers_is_split_like_the_rest():
  batch = Batches(24).batch(0)
  nothing = batch | {"silent_BF": np.zeros((24, 0), np.float32)}
  one, many = (run_jitted(plain, 3, rows) for rows in (batch, nothing))
  assert_close(one, many)


@pytest.mark.parametrize("microbatches", [2, 3, 8])
@pytest.mark.parametrize("counted", [range(24), (0, 1, 2, 3, 4, 9, 17), (5,)])
def test_microbatches_of_unequal_weight_are_one_batch(microbatches, counted):
  batch = masked_batch(counted)
  one = run_jitted(masked, 1, batch)
  many = run_jitted(masked, microbatches, batch)
  assert_close(many, one)
  assert many[0][1]["weight"] == len(counted)


def test_without_a_weight_rows_weigh_the_same():
  batch = Batches(24).batch(0)
  (loss, metrics), grads = run_jitted(plain, 4, batch)
  (one, _), expected = run_jitted(plain, 1, batch)
  assert_close((loss, grads), (one, expected))
  parts = error_B(PARAMS, batch).reshape(6, 4).mean(axis=0)
  np.testing.assert_allclose(
    metrics["largest_row"], np.mean(parts**2), rtol=1e-5
  )


def test_every_microbatch_has_noise_of_its_own():
  def noise(params, frozen, batch, key):
    drawn = jax.random.normal(key)
    return drawn + 0 * params["up"]["bias"].sum(), {"square": drawn**2}

  batch = Batches(8).batch(0)
  (mean, metrics), _ = run_jitted(noise, 4, batch)
  draws = [jax.random.normal(jax.random.fold_in(KEY, k)) for k in range(4)]
  np.testing.assert_allclose(mean, np.mean(draws), rtol=1e-5)
  assert metrics["square"] > mean**2


@pytest.mark.parametrize("mesh", [(8, 1, 1), (2, 4, 1)])
def test_no_row_moves_between_devices(mesh):
  rows = Batches(64).batch(0)
  with jax.set_mesh(make_mesh(MeshConfig(*mesh))):
    batch = put_batch(rows, 64, jax.sharding.get_mesh())
    step = (
      jax.jit(differentiate(plain, 4)).lower(PARAMS, None, batch, KEY).compile()
    )
    found = step(PARAMS, None, batch, KEY)
  assert_close(found[1], run_jitted(plain, 1, rows)[1])
  text = step.as_text()
  assert "all-reduce" in text, "gradients are summed"
  moved = r"all-to-all|all-gather|collective-permute|reduce-scatter"
  assert not re.search(moved, text)


def test_a_run_with_microbatches_is_the_run_without(tmp_path):
  one = train(tmp_path / "one", run_config(batch_size=16), **sixteen())
  run = run_config(batch_size=16, accumulate=2)
  two = train(tmp_path / "two", run, **sixteen())
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    one.params,
    two.params,
  )


def sixteen():
  return {"batches": Batches(16), "loss_fn": plain}


def test_microbatches_too_small_for_the_devices_are_refused(tmp_path):
  run = run_config(batch_size=8, accumulate=2)
  with pytest.raises(UserError, match="the 8 devices .* times accumulate=2"):
    train(tmp_path, run)
