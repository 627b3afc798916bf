"""Where the arrays of the state live."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers
import tiny
from jax.sharding import PartitionSpec as P
from tiny import RULES, run_config, train

from configs import (
  base,
  paper,
  paper_fast,
  tokenizer,
  tokenizer_ltx_small,
  tokenizer_video,
)
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.optimization.optimizer import OptimizerConfig, make_optimizer
from eartalk_jax.tokenizers import ltx
from eartalk_jax.tokenizers.trainable import KINDS, trainable
from eartalk_jax.training.sharding import (
  AUTOENCODER_RULES,
  TALKER_RULES,
  TOKENIZER_RULES,
  MeshConfig,
  make_mesh,
  put_batch,
  tree_shardings,
)
from eartalk_jax.training.train_step import make_init
from launch.train_tokenizer import TokenizerTraining


def specs(tree, rules, *sizes):
  shardings = tree_shardings(tree, make_mesh(MeshConfig(*sizes)), rules)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): sharding.spec
    for path, sharding in jax.tree_util.tree_leaves_with_path(shardings)
  }


KERNEL = (r"kernel$", P("fsdp", "tensor"))


def kernel(*shape):
  return {"kernel": jax.ShapeDtypeStruct(shape, jnp.float32)}


def test_specifications_speak_of_the_last_dimensions():
  tree = {
    "up": kernel(8, 8),
    "other": kernel(8, 8),
    "layers": {"mlp": {"down": kernel(3, 8, 8)}},
    "attention": {"query": kernel(3, 8, 2, 4)},
    "merge": {"out": kernel(2, 4, 8)},
  }
  rules = [rule for rule in AUTOENCODER_RULES if "bias" not in rule[0]]
  assert specs(tree, rules, 2, 2, 2) == {
    "up/kernel": P("fsdp", "tensor"),
    "other/kernel": P("fsdp", None),
    "layers/mlp/down/kernel": P(None, "tensor", "fsdp"),
    "attention/query/kernel": P(None, "fsdp", "tensor", None),
    "merge/out/kernel": P("tensor", None, "fsdp"),
  }


def test_an_axis_that_does_not_divide_leaves_its_dimension_whole():
  assert specs({"up": kernel(6, 8)}, [KERNEL], 1, 4, 2) == {
    "up/kernel": P(None, "tensor")
  }


def test_a_large_array_that_an_axis_does_not_divide_is_an_error():
  assert specs({"up": kernel(512, 1028)}, [KERNEL], 1, 4, 2)
  with pytest.raises(
    UserError, match=r"mesh.fsdp=8 does not divide 1028 in .*up/kernel"
  ):
    specs({"up": kernel(1028, 512)}, [KERNEL], 1, 8, 1)


def test_a_rule_that_matches_no_parameter_is_an_error():
  with pytest.raises(UserError, match=r"'old/kernel\$' matches no parameter"):
    specs({"up": kernel(8, 8)}, [("old/kernel$", P()), KERNEL], 8)


def test_a_parameter_without_a_rule_is_an_error():
  tree = {"odd": {"thing": jnp.zeros((2, 3))}}
  with pytest.raises(UserError, match=r"odd/thing \(2, 3\)"):
    specs(tree, [KERNEL], 8)


def test_moments_and_averages_live_where_their_parameter_does():
  state = jax.eval_shape(
    make_init(run_config(), tiny.init_params), jax.random.key(0)
  )
  found = specs(state, RULES, 2, 2, 2)
  for name in ("up/kernel", "up/bias", "norm/scale", "down/kernel"):
    same = [spec for path, spec in found.items() if path.endswith(name)]
    assert len(same) == 4 and len(set(same)) == 1


@pytest.mark.parametrize("config", [base, paper, paper_fast])
def test_the_whole_talker_has_rules_and_its_matrices_are_split(config):
  config = talkers.shipped(config).model
  config.audio.states = 4
  model = Talker(from_config(TalkerConfig, config))
  params = jax.eval_shape(init_params(model), jax.random.key(0))
  found = specs(params, TALKER_RULES, 1, 8, 1)
  sizes = {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf.size
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
  split = sum(n for name, n in sizes.items() if "fsdp" in found[name])
  assert split > 0.99 * sum(sizes.values())


def test_the_state_is_really_split_in_training(tmp_path):
  state = train(tmp_path, run_config(steps=2, mesh=MeshConfig(2, 2, 2)))
  for tree in (state.params, state.ema, state.opt[1].mu, state.opt[1].nu):
    up = tree["up"]["kernel"]
    assert up.sharding.spec == P("fsdp", "tensor")
    assert up.addressable_shards[0].data.shape == (2, 8)


def test_muon_takes_the_same_step_when_its_matrices_are_split():
  keys = jax.random.split(jax.random.key(0))
  shapes = {"up": (3, 32, 64), "down": (3, 64, 32)}
  grads = {
    name: {"kernel": jax.random.normal(key, shape)}
    for key, (name, shape) in zip(keys, shapes.items(), strict=True)
  }
  config = OptimizerConfig(peak_lr=1.0, warmup_steps=0, matrices="muon")
  optimizer = make_optimizer(config)

  @jax.jit
  def step(grads, opt):
    return optimizer.update(grads, opt, grads)

  whole, _ = step(grads, optimizer.init(grads))
  mesh, rules = make_mesh(MeshConfig(2, 2, 2)), RULES[:2]
  split = jax.device_put(grads, tree_shardings(grads, mesh, rules))
  opt = optimizer.init(grads)
  opt = jax.device_put(opt, tree_shardings(opt, mesh, rules))
  updates, opt = step(split, opt)
  assert not updates["up"]["kernel"].sharding.is_fully_replicated
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), updates, whole
  )


def test_a_batch_is_split_by_rows_and_frames():
  mesh = make_mesh(MeshConfig(2, 1, 2, 2))
  clips_BTc = np.arange(48.0).reshape(4, 6, 2)
  local = {"clips_BTc": clips_BTc, "sink_BSc": clips_BTc}
  batch = put_batch(local, 4, mesh)
  for name, shape in (("clips_BTc", (2, 3, 2)), ("sink_BSc", (2, 6, 2))):
    assert batch[name].addressable_shards[0].data.shape == shape
    np.testing.assert_array_equal(batch[name], clips_BTc)


def test_frames_that_cannot_be_split_are_refused():
  mesh = make_mesh(MeshConfig(2, 1, 1, 4))
  with pytest.raises(UserError, match="context=4 does not divide the 6 frames"):
    put_batch({"clips_BTc": np.zeros((4, 6, 2))}, 4, mesh)
  with pytest.raises(UserError, match="batches have none"):
    put_batch({"x_BF": np.zeros((4, 6))}, 4, mesh)


@pytest.mark.parametrize(
  "sizes", [(3, 1, 1), (-1, 3, 1), (8, 2, 1), (0, 1, 1), (4, 1, 1, 4)]
)
def test_a_mesh_that_is_not_all_devices_is_refused(sizes):
  with pytest.raises(UserError, match="8 devices"):
    make_mesh(MeshConfig(*sizes))


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
  with pytest.raises(
    UserError, match="batch_size 6 is not a multiple of the 8"
  ):
    train(tmp_path, run_config(batch_size=6))


@pytest.mark.parametrize(
  "config", [tokenizer, tokenizer_video, tokenizer_ltx_small]
)
def test_all_weights_of_a_tokenizer_have_a_place_on_large_meshes(config):
  config = from_config(TokenizerTraining, config.get_config())
  network = trainable(config.model)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  assert set(KINDS) == set(TOKENIZER_RULES)
  tree_shardings(
    shapes, make_mesh(MeshConfig(2, 4)), TOKENIZER_RULES[network.kind]
  )


@pytest.mark.parametrize("version", ltx.PUBLISHED)
def test_so_have_those_of_published_networks(version):
  network = KINDS["ltx"](ltx.PUBLISHED[version])
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  tree_shardings(shapes, make_mesh(MeshConfig(2, 4)), TOKENIZER_RULES["ltx"])
