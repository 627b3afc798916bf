"""The tests' machine: eight small devices, strict shapes, quick compilation."""

import importlib.metadata
import os
import pathlib

# Before JAX reads them; the processes that tests start inherit them.
os.environ |= {
  "JAX_COMPILATION_CACHE_DIR": str(
    pathlib.Path(__file__).parents[1] / ".jax_cache"
  ),
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
}

import jax  # noqa: E402
from absl import flags  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Libraries read absl flags, which only an application parses.
flags.FLAGS.mark_as_parsed()


def _compile_hastily():
  """The suite compiles far more than it runs; children inherit it."""
  jax.config.update("jax_disable_most_optimizations", True)
  os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
  # Jaxlib 0.12 no longer has these, which take a third of the time.
  if importlib.metadata.version("jaxlib") < "0.12":
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"


def pytest_addoption(parser):
  parser.addoption(
    "--proof",
    action="store_true",
    help="compile as users do, and run the slow proofs too (make prove)",
  )


def pytest_configure(config):
  if not config.getoption("--proof"):
    _compile_hastily()


def pytest_collection_modifyitems(config, items):
  if config.getoption("--proof"):
    return
  slow = [item for item in items if item.get_closest_marker("proof")]
  config.hook.pytest_deselected(items=slow)
  items[:] = [item for item in items if item not in slow]
