"""The compilation cache is on, and says what it was good for."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache
from tiny import run_config, train

from eartalk_jax.telemetry.events import read_events
from eartalk_jax.training.compilation import (
  cache_text,
  counting_cache,
  use_compile_cache,
)


@pytest.fixture
def empty_cache(tmp_path):
  """A cache of this test alone, which keeps whatever is compiled."""
  names = [
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  ]
  before = {name: getattr(jax.config, name) for name in names}
  for name, value in zip(names, (str(tmp_path / "cache"), 0), strict=True):
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


def test_hits_and_misses_are_counted(empty_cache):
  def compile_one(factor):
    with counting_cache() as counts:
      jax.jit(lambda x: x * factor + 1).lower(jnp.ones(3)).compile()
    return dict(counts)

  jnp.ones(3)  # compiles a program of its own
  assert compile_one(3) == {"hits": 0, "misses": 1}
  assert compile_one(3) == {"hits": 1, "misses": 0}
  assert compile_one(4) == {"hits": 0, "misses": 1}
  assert cache_text({"hits": 3, "misses": 1}) == "cache: 3 hits, 1 miss"


def test_the_next_process_hits_and_a_run_tells(empty_cache, tmp_path, capsys):
  told = []
  for name in ("first", "again"):
    train(tmp_path / name, run_config(steps=1))
    events = read_events(tmp_path / name)
    told += [event for event in events if event["kind"] == "compiled"]
    jax.clear_caches()  # as in a new process
  assert [event["cache"] for event in told] == [
    {"hits": 0, "misses": 1},
    {"hits": 1, "misses": 0},
  ]
  assert "s (cache: 1 hit, 0 misses)" in capsys.readouterr().out


def test_the_cache_is_on_unless_the_user_chose_another(tmp_path, monkeypatch):
  before = jax.config.jax_compilation_cache_dir
  try:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == before
    jax.config.update("jax_compilation_cache_dir", None)
    use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "eartalk_jax")
  finally:
    jax.config.update("jax_compilation_cache_dir", before)
