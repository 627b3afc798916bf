"""The talker's train step against its floor, and what longer clips cost.

  python -m benchmarks.train_step

For configs/demo.py: the whole step as training compiles it (gradient,
optimizer, average; the state donated) and its parts, each compiled by itself
and timed in turn with a large float32 matrix product. The floor is what the
matrix products of a part would take at that product's speed; the share is how
much of the time that is. "products of its shapes" are products as large as
those of the layers, alone: what the step could reach if it did nothing else.
Then a model in which attention weighs, with clips of one and of two lengths in
turn, and banded attention beside dense. Not included: loader, logging.

Large buffers come in fresh pages at every step. On Linux
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m benchmarks.train_step
makes them huge ones.
"""

import argparse
import os

import jax
import jax.numpy as jnp

from benchmarks.timing import flops, in_turn, seconds
from configs import demo
from eartalk_jax.attention import sfa
from eartalk_jax.attention.banded import banded as banded_form
from eartalk_jax.config import from_config
from eartalk_jax.models.backbone import band
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.optimization.optimizer import make_optimizer
from eartalk_jax.recipes import ear
from eartalk_jax.scaling.flops import training_flops
from eartalk_jax.training import talker_training
from eartalk_jax.training.run_config import RunConfig
from eartalk_jax.training.train_step import make_init, make_step

_SIZE = 2048  # of the ceiling's matrices


def random_batch(cfg, rows, frames):
  """Random numbers in the shapes of a loader's batch; all signals given."""

  def fill(shape):
    if shape.dtype == jnp.bool_:
      return jnp.ones(shape.shape, bool)
    return jax.random.normal(jax.random.key(0), shape.shape)

  return jax.tree.map(fill, talker_training.batch_shapes(cfg, rows, frames))


def ceiling():
  """(name, call, FLOPs): a large float32 matrix product."""
  x = jnp.ones((_SIZE, _SIZE))
  product = jax.jit(jnp.dot)
  return "ceiling", lambda: product(x, x), 2 * _SIZE**3


def train_step(cfg, run, rows, frames):
  """(call that takes one step, its state, batch and key)."""
  model, key = Talker(cfg), jax.random.key(0)
  init = make_init(run, init_params(model))
  held = [jax.jit(init)(key)]
  batch = random_batch(cfg, rows, frames)
  step = make_step(run, _loss(model))
  step = jax.jit(step, donate_argnums=0)
  step = step.lower(held[0], None, batch, key).compile()

  def call():
    held[0], metrics = step(held[0], None, batch, key)
    return metrics

  return call, jax.jit(init)(key), batch, key


def _loss(model):
  """EARTalking's, as a train step takes it."""

  def loss_fn(params, frozen, batch, key):
    return ear.losses(model, params, frozen, batch, key).mean(), {}

  return loss_fn


def step_parts(cfg, run, rows, frames):
  """{part: (call, FLOPs of its matrix products)} of a step."""
  call, state, batch, key = train_step(cfg, run, rows, frames)
  loss_fn = _loss(Talker(cfg))
  by_part = training_flops(cfg, frames, banded=True)
  work = rows * frames * sum(by_part.values())
  optimizer = make_optimizer(run.optimizer).update
  of_optimizer = state.params, state.opt, state.params
  value = jax.jit(lambda params, *args: loss_fn(params, None, *args)[0])
  gradient = jax.jit(
    jax.grad(lambda params, *args: loss_fn(params, None, *args)[0])
  )
  update = jax.jit(optimizer)
  average = jax.jit(
    lambda e, p: jax.tree.map(lambda e, p: e + 0.01 * (p - e), e, p)
  )
  update_work = flops(optimizer, *of_optimizer)
  return {
    "step": (call, work + update_work),
    "gradient": (lambda: gradient(state.params, batch, key), work),
    "of it forward": (lambda: value(state.params, batch, key), work / 3),
    "optimizer": (lambda: update(*of_optimizer), update_work),
    "average": (lambda: average(state.ema, state.params), 0),
    "products of its shapes": _products(rows * frames * cfg.tokens, cfg.width),
  }


def _products(count, width):
  """(call, FLOPs): an MLP's first product, forward and both gradients."""
  x, w = jnp.ones((count, width)), jnp.ones((width, 4 * width))
  product = jax.jit(lambda x, w: jax.vjp(jnp.dot, x, w)[1](x @ w))
  return lambda: product(x, w), 3 * 2 * count * w.size


def step_table(cfg, run, rows, frames):
  """Prints the step and its parts, and where its FLOPs go."""
  parts = step_parts(cfg, run, rows, frames)
  name, call, work = ceiling()
  took = in_turn({name: call} | {part: c for part, (c, _) in parts.items()})
  speed = work / took[name]
  print(f"{rows} x {frames} frames, matrix product {speed / 1e9:.0f} GF/s")
  for part, (_, work) in parts.items():
    floor = work / speed
    print(
      f"  {part:24s}{took[part] * 1e3:8.1f} ms, floor {floor * 1e3:7.1f} ms, "
      f"{floor / took[part]:4.0%} of it"
    )
  by_part = training_flops(cfg, frames, banded=True)
  total = sum(by_part.values())
  shares = (f"{part} {n / total:.0%}" for part, n in by_part.items())
  print(f"  FLOPs of the gradient: {', '.join(shares)}")


def doubling(run, rows=2, frames=16):
  """Prints what a step costs when the clip doubles."""
  config = demo.get_config().model
  # Tokens and a window for which attention is a good part of the work.
  config.patch, config.window, config.depth = 1, 8, 2
  cfg = from_config(TalkerConfig, config)
  lengths = (frames, 2 * frames)
  took = in_turn(
    {n: train_step(cfg, run, rows, n)[0] for n in lengths}, rounds=9
  )
  work = training_flops(cfg, frames, banded=True)
  print(
    f"{frames} frames {took[frames] * 1e3:.0f} ms, {2 * frames} frames "
    f"{took[2 * frames] * 1e3:.0f} ms: {took[2 * frames] / took[frames]:.2f} "
    f"times as much ({cfg.tokens} tokens, window {cfg.window}; scores are "
    f"{work['scores'] / sum(work.values()):.0%} of the FLOPs)"
  )


def attention_row(cfg, frames):
  """Prints banded against dense attention, forward and backward."""
  shape = (1, frames, cfg.condition_tokens + cfg.tokens, cfg.heads)
  head_width = cfg.width // cfg.heads
  q = jax.random.normal(jax.random.key(0), (*shape, head_width))
  sink = q[:, 0, cfg.condition_tokens :]

  def timed(form):
    def total(x):
      return form(x, x, x, sink, sink, band(cfg), jnp.zeros(1, int)).sum()

    gradient = jax.grad(total)
    return seconds(jax.jit(gradient), q, repeats=5)

  banded, dense = timed(banded_form), timed(sfa.dense)
  print(
    f"attention, {frames:3d} frames: banded {banded * 1e3:6.1f} ms, "
    f"dense {dense * 1e3:6.1f} ms, ratio {dense / banded:4.1f}"
  )


def main():
  """Prints the tables."""
  argparse.ArgumentParser(
    prog="python -m benchmarks.train_step",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  ).parse_args()
  config = demo.get_config()
  cfg = from_config(TalkerConfig, config.model)
  run = from_config(RunConfig, config.run)
  tunables = os.environ.get("GLIBC_TUNABLES", "none")
  print(f"{jax.device_count()} device(s), GLIBC_TUNABLES: {tunables}")
  step_table(cfg, run, config.run.batch_size, config.data.frames)
  doubling(run)
  for length in (16, 32, 64):
    attention_row(cfg, length)


if __name__ == "__main__":
  main()
