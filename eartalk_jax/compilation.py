"""Compiled programs are kept on disk, so a restart does not compile again."""

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
