"""The tests' machine: eight small devices, strict shapes, a compile cache."""

import pathlib

import jax
import pytest
from absl import flags

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update(
  "jax_compilation_cache_dir",
  str(pathlib.Path(__file__).parents[1] / ".jax_cache"),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

# Libraries read absl flags, which only an application parses.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="module")
def hasty_compiler():
  """Compiles in half the time, for modules that compile far more than they run.

  Not for those that promise bits, memory or speed of what users run.
  """
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)
