"""Parameters and FLOPs in closed form, against XLA and against the model."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
import talkers
from jax.experimental import pallas as pl

from benchmarks.train_step import random_batch
from configs import base, paper
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.hlo import module as hlo
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.hearing import Hearing
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.scaling import flops, traced

HUBERT = {"steps": 2, "bins": 1024}
# (config, frames of a clip, changes of the model)
_SIZES = (
  (base, 9, {"sinks": 2, "audio": HUBERT}),
  pytest.param(base, 3, {"width": 64, "depth": 1}, marks=pytest.mark.proof),
  (paper, 8, {"depth": 2, "stride": 1}),
)


def _talker(module, changes):
  c = talkers.shipped(module)
  c.model.update(
    {"width": 128, "depth": 3, "heads": 2, "window": 4, "dtype": "float32"}
    | {"latent_shape": (16, 16, 16), "remat": False}
    | changes
  )
  c.model.unroll = c.model.depth
  c.model.head.width, c.model.head.depth, c.model.head.heads = 96, 2, 2
  if c.model.head.kind == "masked":
    c.model.head.sets, c.model.head.denoiser_width = 4, 80
  return from_config(TalkerConfig, c.model)


@pytest.mark.parametrize("module, frames, changes", _SIZES)
def test_parameters_and_flops_are_those_of_the_compiled_program(
  module, frames, changes
):
  cfg = _talker(module, changes)
  model, rows = Talker(cfg), 2
  key = jax.random.key(0)
  params = jax.eval_shape(init_params(model), key)
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert sum(flops.parameters(cfg).values()) == count

  loss_fn = talkers.talker_loss(model)

  def loss(params, batch, key):
    return loss_fn(params, batch, key)

  batch = jax.eval_shape(lambda: random_batch(cfg, rows, frames))
  step = jax.value_and_grad(loss)
  compiled = jax.jit(step).lower(params, batch, key).compile()
  exact = hlo.analyse(compiled.as_text(), 1).flops
  closed = flops.training_flops(cfg, frames, banded=True)
  assert sum(closed.values()) * rows * frames == pytest.approx(exact, rel=0.01)
  # Dead products and the margins of convolutions are in the trace.
  assert traced.flops(step, params, batch, key) == pytest.approx(
    exact, rel=0.02
  )


def test_hidden_states_are_mixed_before_what_is_counted():
  one = _talker(base, {})
  audio = dataclasses.replace(one.audio, states=5)
  several = dataclasses.replace(one, audio=audio)
  params = jax.eval_shape(init_params(Talker(several)), jax.random.key(0))
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert sum(flops.parameters(several).values()) == count
  audio = [flops.sampling_flops(cfg)["audio"] for cfg in (several, one)]
  assert audio[0] < audio[1]


def test_speech_that_is_left_to_tokens_cannot_be_counted():
  cfg = from_config(TalkerConfig, base.get_config().model)
  with pytest.raises(UserError, match="audio.steps=4 .*audio.bins=80"):
    flops.parameters(cfg)


@pytest.mark.parametrize("stride", [1, 4])
def test_a_latent_hears_all_of_its_frames_once(stride):
  cfg = _talker(base, {"stride": stride, "audio": HUBERT})
  frames = cfg.audio.past + stride + cfg.audio.ahead
  speech = jax.ShapeDtypeStruct((frames * 2 * 1024,), jnp.float32)
  hearing = Hearing(cfg)
  params = jax.eval_shape(hearing.init, jax.random.key(0), speech)
  exact = traced.flops(hearing.apply, params, speech)
  # Of the three taps of the first and of the last place one may hang over.
  assert flops.sampling_flops(cfg)["audio"] == pytest.approx(exact, rel=0.06)


def test_only_scores_grow_with_the_pairs_that_a_program_masks():
  cfg = _talker(base, {})
  visible = flops.training_flops(cfg, 8)
  banded = flops.training_flops(cfg, 8, banded=True)
  grown = {part for part in flops.PARTS if banded[part] > visible[part]}
  assert grown == {"scores"}
  n, m, w = cfg.tokens, cfg.condition_tokens, cfg.window
  seen = m + n * (1 + 2 + 3 + 4 * 5) / 8  # frames 0, 1, 2 see fewer
  ratio = (2 * w * n + w * m) / seen
  assert banded["scores"] / visible["scores"] == pytest.approx(ratio)


def test_a_streamed_frame_pays_for_every_step_of_its_head():
  cfg = _talker(base, {"stride": 1})
  training = flops.training_flops(cfg, 100)
  # As often as backward and forward.
  sampling = {k: 3 * count for k, count in flops.sampling_flops(cfg).items()}
  ratio = cfg.head.steps / cfg.head.draws
  assert sampling["head"] / training["head"] == pytest.approx(ratio, rel=0.1)
  # Its conditions do not repeat the portrait's, its window is full.
  assert sampling["controls"] < training["controls"]
  assert sampling["scores"] > training["scores"]


def test_a_kernel_counts_every_block_of_its_grid_and_nothing_else_does():
  def kernel(x_ref, y_ref, out_ref):
    out_ref[...] = x_ref[...] @ y_ref[...]

  x = jnp.ones((32, 16))
  y = jnp.ones((16, 8))
  block = pl.BlockSpec((8, 16), lambda i: (i, 0))
  product = pl.pallas_call(
    kernel,
    grid=(4,),
    in_specs=[block, pl.BlockSpec((16, 8), lambda i: (0, 0))],
    out_specs=pl.BlockSpec((8, 8), lambda i: (i, 0)),
    out_shape=jax.ShapeDtypeStruct((32, 8), x.dtype),
    interpret=True,
  )

  def both(x, y):
    return product(x, y) @ y.T

  once = 2 * 32 * 16 * 8
  assert traced.flops(both, x, y) == 2 * once
  jaxpr = jax.make_jaxpr(both)(x, y).jaxpr
  assert traced.kernel_flops(jaxpr, lambda grid: 1) == once
  shares = {(4,): 0.5}  # of a kernel that skips half its grid
  assert traced.kernel_flops(jaxpr, shares.get) == once / 2


def test_the_trace_counts_loops_branches_and_recomputed_parts():
  x = jnp.ones((8, 8))
  once = 2 * 8**3

  def looped(x):
    return jax.lax.scan(lambda c, _: (c @ c, None), x, None, length=5)[0]

  def branched(x):
    return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x)

  assert traced.flops(looped, x) == 5 * once
  assert traced.flops(branched, x) == 2 * once

  def again(x):
    return jax.checkpoint(lambda x: jnp.sin(x @ x) @ x)(x).sum()

  forward = traced.flops(again, x)
  assert forward == 2 * once
  # Backward makes four products, and the first one again.
  assert traced.flops(jax.grad(again), x) == forward + 5 * once

  def endless(x):
    return jax.lax.while_loop(lambda x: x[0, 0] > 0, lambda x: x @ x, x)

  with pytest.raises(ValueError, match="fixed number of turns"):
    traced.flops(endless, x)
