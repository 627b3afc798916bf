"""Updates of wide models: multiplied by what the theory says, in real runs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from talkers import HEADS, TINY
from tiny import Batches, init_params, run_config, train

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import OptimizerConfig, make_optimizer
from eartalk_jax.optimization.width_transfer import (
  update_multipliers,
  with_widths,
)
from eartalk_jax.recipes import ear
from eartalk_jax.training import talker_training
from eartalk_jax.training.sharding import MeshConfig, make_mesh
from eartalk_jax.trees import path_name

ADAM = OptimizerConfig(peak_lr=1e-2, warmup_steps=0, weight_decay=0.1)


def multipliers(cfg, base_width, base_head_width, matrices="adam"):
  """{name of a parameter: multiplier}."""
  optimizer = dataclasses.replace(
    ADAM,
    matrices=matrices,
    base_width=base_width,
    base_head_width=base_head_width,
  )
  mesh = make_mesh(devices=jax.devices()[:1])
  functions = talker_training.functions(ear, cfg, mesh, optimizer)
  leaves = jax.tree.leaves_with_path(functions["multipliers"])
  return {path_name(path): value for path, value in leaves}


# By what they sum over: nothing that grows, the backbone's width, the head's.
NEITHER = (
  "frame_in beside guess conditions/pose_in conditions/hearing/conv_0 "
  "backbone/layers/modulation/expand head/layers_0/modulation/expand "
  "head/token_in"
)
BACKBONE = (
  "level_in trust direct conditions/pose_out conditions/hearing/conv_1 "
  "conditions/hearing/mix backbone/layers/attention/query backbone/last/mlp/up "
  "backbone/layers/merge/out backbone/last/modulation/reduce head/h_in"
)
HEAD = (
  "head/time_in head/layers_0/mlp/down head/layers_0/attention/value "
  "head/layers_0/modulation/reduce head/token_out"
)


def test_adams_updates_are_divided_by_the_growth_of_what_is_summed():
  found = multipliers(with_widths(TINY, 64, 48), 16, 16)
  for names, expected in ((NEITHER, 1), (BACKBONE, 1 / 4), (HEAD, 1 / 3)):
    for name in names.split():
      assert found[f"{name}/kernel"] == pytest.approx(expected), name
  for name in ("position", "head/position", "patterns", "conditions/null"):
    assert found[name] == 1
  assert all(v == 1 for name, v in found.items() if name.endswith("bias"))


def test_muons_updates_are_divided_by_the_growth_of_their_norm():
  found = multipliers(with_widths(TINY, 128, 128), 32, 32, "muon")

  def norm(rows, columns):
    """Of a matrix with orthonormal rows or columns, entries as in Adam's."""
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(rows, columns)))
    matrix = matrix[0] / np.sqrt(np.mean(matrix[0] ** 2))
    return np.linalg.norm(matrix, 2)

  # The map's gain in root mean square, of which the square roots.
  gain = norm(128, 128) / norm(32, 32)
  for name in ("attention/key", "merge/out", "mlp/up", "mlp/down"):
    value = found[f"backbone/last/{name}/kernel"]
    assert value == pytest.approx(1 / gain) == pytest.approx(0.5)
  assert found["direct/kernel"] == pytest.approx(1 / 4)
  # Narrow matrices are Adam's.
  assert found["backbone/last/modulation/reduce/kernel"] == pytest.approx(1 / 4)
  assert found["frame_in/kernel"] == found["patterns"] == 1


@pytest.mark.parametrize(
  ("head", "matrices"), [("flow", "muon"), ("masked", "adam")]
)
def test_a_model_at_its_base_widths_is_as_without(head, matrices):
  cfg = dataclasses.replace(TINY, head=HEADS[head])
  assert set(multipliers(cfg, 16, 16, matrices).values()) == {1}


def test_models_grow_by_the_number_of_heads():
  wide = with_widths(dataclasses.replace(TINY, head=HEADS["masked"]), 48, 32)
  assert (wide.width, wide.heads) == (48, 6)
  assert (wide.head.width, wide.head.heads, wide.head.denoiser_width) == (
    32,
    4,
    32,
  )
  with pytest.raises(UserError, match=r"model.head.width 20 .* multiple of 8"):
    with_widths(TINY, 32, 20)


def test_base_widths_need_not_be_whole_heads_but_must_be_even():
  found = multipliers(with_widths(TINY, 64, 64), 20, 10)
  assert found["backbone/last/attention/query/kernel"] == pytest.approx(20 / 64)
  assert found["head/layers_0/merge/out/kernel"] == pytest.approx(10 / 64)
  with pytest.raises(UserError, match="base_width=21.* choose even"):
    multipliers(TINY, 21, 16)


def test_a_parameter_without_a_rule_is_refused():
  grown = {"table": jax.ShapeDtypeStruct((4, 4), jnp.float32)}
  base = {"table": jax.ShapeDtypeStruct((2, 2), jnp.float32)}
  with pytest.raises(UserError, match="no rule of width transfer .* table"):
    update_multipliers(grown, base, "adam")


def test_decay_takes_the_same_share_at_every_width():
  config = dataclasses.replace(ADAM, base_width=1, base_head_width=1)
  optimizer = make_optimizer(config, {"kernel": 0.25})
  params = {"kernel": jnp.full((2, 2), 3.0)}
  grads = {"kernel": jnp.ones((2, 2))}
  updates, _ = optimizer.update(grads, optimizer.init(params), params)
  np.testing.assert_allclose(updates["kernel"], 0.25 + 0.1 * 3, rtol=1e-6)


def test_other_models_than_talkers_refuse_base_widths(tmp_path):
  config = dataclasses.replace(ADAM, base_width=8, base_head_width=8)
  with pytest.raises(UserError, match="base_width is for talkers"):
    train(tmp_path, run_config(optimizer=config))


def test_one_base_width_alone_is_refused():
  settings = {"peak_lr": 1.0, "warmup_steps": 0, "base_width": 8}
  with pytest.raises(UserError, match="both 0"):
    from_config(OptimizerConfig, settings)


def test_multiplied_runs_resume_and_are_the_same_on_any_mesh(tmp_path):
  optimizer = dataclasses.replace(ADAM, base_width=8, base_head_width=8)
  run = run_config(optimizer=optimizer, mesh=MeshConfig(2, 2, 2))
  shapes = jax.eval_shape(init_params, jax.random.key(0))
  given = {"multipliers": jax.tree.map(lambda _: 0.5, shapes)}

  class Stopped(Exception):
    pass

  class Failing(Batches):
    def iterate(self, step):
      for number, batch in enumerate(super().iterate(step)):
        if number == 8:
          raise Stopped
        yield batch

  with pytest.raises(Stopped):
    train(tmp_path / "parts", run, batches=Failing(), **given)
  parts = train(tmp_path / "parts", run, **given)
  whole = train(tmp_path / "whole", run, **given)
  jax.tree.map(np.testing.assert_array_equal, parts.params, whole.params)
  one = make_mesh(devices=jax.devices()[:1])
  alone = train(tmp_path / "alone", run, mesh=one, **given)
  plain = train(tmp_path / "plain", mesh=one)
  for name in ("up", "down"):
    kernel = alone.params[name]["kernel"]
    np.testing.assert_allclose(
      kernel, whole.params[name]["kernel"], rtol=1e-4, atol=1e-6
    )
    assert not np.allclose(kernel, plain.params[name]["kernel"], rtol=1e-2)
