"""One streamed frame: time at age 100 and 10,000, and its floor.

  python -m benchmarks.stream_frame

configs/demo.py with random weights, one stream and sixteen; the frame holds
backbone, head and history, not the tokenizer and not the audio features. The
floor is the larger of its FLOPs at a measured matrix product's speed and its
weights read once for each head step at a measured copy's speed.
"""

import functools

import jax
import jax.numpy as jnp

from benchmarks.timing import flops, matmul_flops_per_second, seconds
from benchmarks.train_step import random_batch
from configs import demo
from eartalk_jax import objective
from eartalk_jax.config import from_config
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.talker import Talker
from eartalk_jax.streaming import frame as streaming


def frame_seconds(model, weights, rows, age):
  """(seconds, FLOPs) of one frame of `rows` streams of that age."""
  batch = random_batch(model.cfg, rows, 1)
  signals = jax.tree.map(lambda x: x[:, 0], objective.signals_of(batch))
  portrait = objective.portrait_signals(batch)
  key_B = jax.random.split(jax.random.key(0), rows)
  state = streaming.init(model, weights, batch["sink_BShwC"], key_B, portrait)
  state = state.replace(count_B=jnp.full(rows, age))
  step = functools.partial(streaming.step, model)
  took = seconds(jax.jit(step), weights, state, signals, repeats=50)
  return took, flops(step, weights, state, signals)


def copy_bytes_per_second(size=1 << 26):
  """Bytes read per second while a large array is summed."""
  x = jnp.ones(size // 4)
  return size / seconds(jax.jit(jnp.sum), x, repeats=5)


def main():
  """Prints the table."""
  cfg = from_config(TalkerConfig, demo.get_config().model)
  model = Talker(cfg)
  params = jax.jit(objective.init_params(model))(jax.random.key(0))
  weights = streaming.prepare(params)
  speed, bandwidth = matmul_flops_per_second(), copy_bytes_per_second()
  sizes = {
    name: sum(leaf.nbytes for leaf in jax.tree.leaves(params[name]))
    for name in ("backbone", "head")
  }
  read = sizes["backbone"] + cfg.head.steps * sizes["head"]
  for rows in (1, 16):
    young, work = frame_seconds(model, weights, rows, age=100)
    old, _ = frame_seconds(model, weights, rows, age=10_000)
    floor = max(work / speed, read / bandwidth)
    print(
      f"{rows:2d} streams: frame 100 {young * 1e3:6.2f} ms, frame 10,000 "
      f"{old * 1e3:6.2f} ms (ratio {old / young:.2f}), floor "
      f"{floor * 1e3:5.2f} ms, {rows / young:6.0f} frames/s"
    )


if __name__ == "__main__":
  main()
