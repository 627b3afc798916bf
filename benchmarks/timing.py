"""Timing of compiled functions, and the machine's own speed beside it."""

import statistics
import time

import jax
import jax.numpy as jnp


def seconds(function, *args, repeats=10):
  """Median seconds of one call, after a first call that compiles."""
  jax.block_until_ready(function(*args))
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    times.append(time.perf_counter() - start)
  return sorted(times)[len(times) // 2]


def matmul_flops_per_second(size=2048):
  """What a large float32 matrix product reaches here: the floor's speed."""
  x = jnp.ones((size, size))
  return 2 * size**3 / seconds(jax.jit(jnp.dot), x, x, repeats=5)


def flops(function, *args):
  """Floating-point operations of one call, as the compiler counts them."""
  return jax.jit(function).lower(*args).compile().cost_analysis()["flops"]


def in_turn(calls, rounds=15):
  """{name: median seconds} of calls that take turns, all compiled before.

  A shared machine's speed drifts by tens of percent within a minute: only what
  was measured in turn can be compared.
  """
  for call in calls.values():
    jax.block_until_ready(call())
  times = {name: [] for name in calls}
  for _ in range(rounds):
    for name, call in calls.items():
      start = time.perf_counter()
      jax.block_until_ready(call())
      times[name].append(time.perf_counter() - start)
  return {name: statistics.median(taken) for name, taken in times.items()}
