"""Where the time of a streamed frame goes, and how far that is from its floor.

  python -m benchmarks.stream_parts --checkpoint runs/demo/talker

For 1, 4 and 16 streams: the whole compiled step and its parts, each compiled
and timed by itself (so they need not add up), as milliseconds of a step. The
host's part is that of `eartalk_jax.streaming` around the step: features,
controls, copies. The floor is the larger of the step's FLOPs at a measured
matrix product's speed and its weights and caches read once (the head's once for
each sampling step) at a measured copy's speed. Then: one stream with other
sampling steps, with guidance, and its first frame with compiling.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from benchmarks.stream import Talk, company
from benchmarks.timing import flops, matmul_flops_per_second, seconds
from benchmarks.train_step import random_batch
from eartalk_jax import heads
from eartalk_jax.denoising.guidance import NO_GUIDANCE, make_guidance
from eartalk_jax.generate import load_generator
from eartalk_jax.recipes.ear import stream as frame
from eartalk_jax.recipes.pixels import pixels_step
from eartalk_jax.streaming import Streams
from launch import cli

_REPEATS = 50


def _inputs(generator, rows):
  """(state, conditions) of `rows` streams in which all is given."""
  batch = random_batch(generator.config, rows, 1)
  stream = generator.recipe.open(
    generator.model,
    generator.weights,
    batch["sink_BShwC"],
    jax.random.split(jax.random.key(0), rows),
    batch["portrait"],
  )
  tokenizer = generator.tokenizer
  pictures_BYX3 = jnp.zeros((rows, *tokenizer.picture_shape, 3))
  decode = tokenizer.init_decode(
    tokenizer.params, pictures_BYX3, batch["sink_BShwC"][:, 0]
  )
  return (stream, decode), batch["signals"]


def _step(generator):
  """The whole compiled step, not compiled yet."""

  def step(weights, state, signals, guidance=NO_GUIDANCE):
    decoder = generator.tokenizer.params
    return pixels_step(generator, decoder, weights, state, signals, guidance)

  return step


def parts_ms(generator, rows):
  """{part: milliseconds of a step}."""
  (state, decoding), signals = _inputs(generator, rows)
  model, weights = generator.model, generator.weights
  tokenizer, cfg = generator.tokenizer, generator.config

  def backbone(weights, state, signals):
    return frame.hidden(model, weights, state, signals.at(0))

  def head(weights, features):
    net = model.bind({"params": weights["rest"]}).head
    key_B = jax.random.wrap_key_data(state.key_B)
    return heads.of(cfg.head).sample(
      cfg.head, net, features, key_B, NO_GUIDANCE
    )

  features, _ = jax.jit(backbone)(weights, state, signals)
  latents = jnp.zeros((rows, *cfg.latent_shape))
  calls = {
    "step": (_step(generator), weights, (state, decoding), signals),
    "backbone": (backbone, weights, state, signals),
    "head": (head, weights, features),
    "decode": (tokenizer.decode_step, tokenizer.params, decoding, latents),
  }
  return {
    name: 1e3 * seconds(jax.jit(call), *args, repeats=_REPEATS)
    for name, (call, *args) in calls.items()
  }


def host_ms(generator, rows, step_ms):
  """What `streaming` adds to the compiled step."""
  return 1e3 * seconds(company(generator, rows), repeats=_REPEATS) - step_ms


def floor_ms(generator, rows, speed, bandwidth):
  """(milliseconds, "FLOPs" or "bytes"): the least that a step can take."""
  state, signals = _inputs(generator, rows)
  work = flops(_step(generator), generator.weights, state, signals)
  head = generator.config.head
  size = {
    "head": generator.weights["rest"]["head"],
    "all": (generator.weights, generator.tokenizer.params, state[0].caches),
  }
  size = {
    name: sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    for name, tree in size.items()
  }
  passes = head.steps * getattr(head, "sets", 1)
  read = size["all"] + (passes - 1) * size["head"]
  times = {"FLOPs": 1e3 * work / speed, "bytes": 1e3 * read / bandwidth}
  binding = max(times, key=times.get)
  return times[binding], binding


def copy_bytes_per_second(size=1 << 26):
  """Bytes read per second while a large array is summed."""
  x = jnp.ones(size // 4)
  return size / seconds(jax.jit(jnp.sum), x, repeats=5)


def _variants(generator):
  """Prints one stream's step with other sampling, guided, and cold."""
  state, signals = _inputs(generator, 1)

  def step_ms(generator, guidance=NO_GUIDANCE):
    arguments = generator.weights, state, signals, guidance
    step = jax.jit(_step(generator))
    return 1e3 * seconds(step, *arguments, repeats=_REPEATS)

  for steps in (1, 2, 4, 8, 16):
    quick = generator.sampling(steps=steps)
    print(f"1 stream, {steps:2d} sampling steps: {step_ms(quick):6.2f} ms")
  names = ["audio", *(control.name for control in generator.config.controls)]
  for guided in (names[:1], names):
    scales = make_guidance(generator.config, dict.fromkeys(guided, 1.5), 1)
    took = step_ms(generator, scales)
    print(f"1 stream, guided by {', '.join(guided)}: {took:6.2f} ms")
  began = time.perf_counter()
  Talk(Streams(generator)).frame()
  cold = time.perf_counter() - began
  print(f"first frame with compiling, no compilation cache: {cold:6.2f} s")


def main(argv=None):
  """Prints the tables."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.stream_parts",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--checkpoint", required=True, help="a run of the talker")
  generator = load_generator(parser.parse_args(argv).checkpoint)
  speed, bandwidth = matmul_flops_per_second(), copy_bytes_per_second()
  print(
    f"matrix product {speed / 1e9:.0f} GF/s, memory {bandwidth / 1e9:.0f} GB/s"
  )
  for rows in (1, 4, 16):
    parts = parts_ms(generator, rows)
    parts["host"] = host_ms(generator, rows, parts["step"])
    floor, binding = floor_ms(generator, rows, speed, bandwidth)
    shown = ", ".join(f"{name} {took:.2f}" for name, took in parts.items())
    print(f"{rows:2d} streams, ms: {shown}; floor {floor:.2f} ({binding})")
  _variants(generator)


if __name__ == "__main__":
  cli.run(main)
