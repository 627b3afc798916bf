"""Arrays that training reads and does not change, as a teacher's parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Regression, init_params, loss_fn, run_config, train

from eartalk_jax.errors import UserError
from eartalk_jax.training.sharding import MeshConfig

RUN = run_config(steps=12, save_every=6, mesh=MeshConfig(2, 2, 2))
RUN = dataclasses.replace(
  RUN, optimizer=dataclasses.replace(RUN.optimizer, decay="constant")
)


def of_teacher(params, frozen, batch, key):
  loss, metrics = loss_fn(params, None, batch, key)
  ours, theirs = (
    Regression().apply({"params": each}, batch["x_BF"])
    for each in (params, frozen)
  )
  return loss + jnp.square(ours - theirs).mean(), metrics


def learn(workdir, teacher, **changes):
  run = dataclasses.replace(RUN, **changes)
  return train(workdir, run, loss_fn=of_teacher, frozen=teacher)


@pytest.fixture
def teacher():
  return jax.tree.map(np.asarray, init_params(jax.random.key(7)))


def bytes_saved(workdir):
  files = (workdir / "checkpoints" / "12" / "state").rglob("*")
  return sum(path.stat().st_size for path in files if path.is_file())


def test_a_teacher_is_read_and_neither_changed_nor_saved(tmp_path, teacher):
  before = jax.tree.map(np.copy, teacher)
  one = learn(tmp_path / "one", teacher)
  jax.tree.map(np.testing.assert_array_equal, teacher, before)
  alone = train(tmp_path / "alone", RUN)
  assert any(
    (a != b).any()
    for a, b in zip(
      *map(jax.tree.leaves, (one.params, alone.params)), strict=True
    )
  )
  assert bytes_saved(tmp_path / "one") < 1.05 * bytes_saved(tmp_path / "alone")
  # Stopped and resumed it is bitwise one run.
  learn(tmp_path / "two", teacher, steps=6)
  two = learn(tmp_path / "two", teacher)
  jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
  # Another teacher makes another run.
  other = jax.tree.map(lambda x: x + 1, teacher)
  with pytest.raises(UserError, match="frozen was"):
    learn(tmp_path / "two", other, steps=18)


def test_it_lies_on_the_mesh_as_the_parameters_do(tmp_path, teacher):
  seen = []

  def look(params, frozen, batch, key):
    for ours, theirs in zip(
      *map(jax.tree.leaves, (params, frozen)), strict=True
    ):
      jax.debug.inspect_array_sharding(ours, callback=seen.append)
      jax.debug.inspect_array_sharding(theirs, callback=seen.append)
    return of_teacher(params, frozen, batch, key)

  train(tmp_path, RUN, loss_fn=look, frozen=teacher)
  shapes = [str(sharding) for sharding in seen]
  assert shapes and shapes[::2] == shapes[1::2]
