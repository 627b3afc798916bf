"""Compiled programs are kept on disk, so a restart does not compile again."""

import collections
import contextlib
import os
import pathlib

import jax


def use_compile_cache():
  """Turns JAX's persistent compilation cache on, unless it is set already.

  Programs go to $XDG_CACHE_HOME/eartalk_jax (~/.cache/eartalk_jax);
  JAX_COMPILATION_CACHE_DIR names another place.
  """
  if jax.config.jax_compilation_cache_dir is None:
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    directory = pathlib.Path(root) / "eartalk_jax"
    jax.config.update("jax_compilation_cache_dir", str(directory))


@contextlib.contextmanager
def counting_cache():
  """Yields a Counter of `hits` and `misses`, full when the body is done."""
  counts, events = collections.Counter(hits=0, misses=0), collections.Counter()

  def listen(event, **unused):
    events[event.removeprefix("/jax/compilation_cache/")] += 1

  jax.monitoring.register_event_listener(listen)
  try:
    yield counts
  finally:
    jax.monitoring.unregister_event_listener(listen)
    counts["hits"] = events["cache_hits"]
    # JAX calls a miss only what it then stores, not what compiles fast.
    requests = events["compile_requests_use_cache"]
    counts["misses"] = requests - counts["hits"]


def cache_text(counts):
  """Hits and misses in words."""
  hits, misses = counts["hits"], counts["misses"]
  return (
    f"cache: {hits} hit{'s' * (hits != 1)}, {misses} miss{'es' * (misses != 1)}"
  )
