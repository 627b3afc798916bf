"""The fixed set: laid out, not drawn; the same whatever the model's size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from talkers import HEADS, TINY, talker
from tokens import BINS, SHAPE, write_tokens

from data_pipelines.shards import open_dataset
from eartalk_jax.denoising.flow import Flow
from eartalk_jax.jobs.sweep_cells import fixed_set as make_fixed_set
from eartalk_jax.models.config import AudioConfig, ControlConfig, HistoryConfig
from eartalk_jax.recipes import ear
from eartalk_jax.scaling.fixed_loss import evaluate
from eartalk_jax.training.train_config import DataConfig

_WINDOWS, _DRAWS, _FRAMES = 12, 3, 4


def model(**changes):
  settings = {
    "latent_shape": SHAPE,
    "patch": 1,
    "depth": 1,
    "audio": AudioConfig(past=1, ahead=1, steps=4, bins=BINS, tokens=2, drop=1),
    "controls": (ControlConfig("pose", "continuous", 3, 0.5),),
    "history": HistoryConfig(2.0, 0.25, 1.0),
  }
  return dataclasses.replace(TINY, **settings | changes)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  directory = tmp_path_factory.mktemp("held_out") / "tokens"
  return open_dataset(write_tokens(directory), "tokens")


def fixed_set(dataset, cfg, windows=_WINDOWS):
  data = DataConfig(str(dataset.directory), _FRAMES)
  return make_fixed_set(dataset, data, cfg, windows, _DRAWS)


def test_levels_and_times_are_evenly_spaced_quantiles(dataset):
  fixed = fixed_set(dataset, model(), windows=128)
  assert len(fixed.chunks) == 2
  levels = np.sort(
    np.concatenate([chunk["level_BT"].ravel() for chunk in fixed.chunks])
  )
  size = levels.size
  clean = (levels == 0).mean()
  assert abs(clean - 0.25) <= 1 / size
  # level = max * cbrt(u): the cubes of the rest are evenly spaced.
  cubes = (levels[levels > 0] / 2.0) ** 3
  assert np.diff(cubes).max() < 1.01 / size / 0.75
  assert cubes.max() > 1 - 1 / size / 0.75
  uniform = np.concatenate([chunk["uniform"] for chunk in fixed.chunks], axis=1)
  for draw, values in enumerate(uniform):
    expected = (draw + (np.arange(size) + 0.5) / size) / _DRAWS
    np.testing.assert_allclose(np.sort(values.ravel()), expected, rtol=1e-5)
  # Nothing is left out, although the config drops every window's audio.
  assert all(
    chunk["batch"]["signals"].audio.given.all() for chunk in fixed.chunks
  )


def test_given_quantiles_are_those_of_the_drawn_times():
  key = jax.random.key(0)
  drawn = Flow(3.0).times(key, (20_000,))
  grid = (np.arange(20_000) + 0.5) / 20_000
  laid = Flow(3.0).times(key, None, grid)
  inner = slice(200, -200)  # the extremes are luck
  np.testing.assert_allclose(np.sort(drawn)[inner], laid[inner], atol=0.02)


def test_sizes_share_one_set_and_other_data_or_noise_make_another(
  dataset, tmp_path
):
  ours = fixed_set(dataset, model()).fingerprint
  assert ours == fixed_set(dataset, model(width=32, depth=2)).fingerprint
  louder = model(history=HistoryConfig(3.0, 0.25, 1.0))
  other = open_dataset(
    write_tokens(tmp_path / "other", lengths=(21,) * 8), "tokens"
  )
  another = {
    fixed_set(dataset, louder).fingerprint,
    fixed_set(other, model()).fingerprint,
    fixed_set(dataset, model(), windows=13).fingerprint,
    ours,
  }
  assert len(another) == 4


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_measured_against_the_portrait(dataset, head):
  cfg = model(head=HEADS[head])
  fixed = fixed_set(dataset, cfg)
  _, params = talker(**vars(cfg))
  silent = jax.tree.map(jnp.zeros_like, params)
  found = evaluate(ear, cfg, silent, fixed)
  # Who says nothing is as good as the portrait.
  assert found["loss"] == pytest.approx(found["portrait"], rel=1e-5)
  assert 0 < found["error"] < found["loss"]
  if head == "flow":
    assert evaluate(ear, cfg, silent, fixed) == found
    assert evaluate(ear, cfg, params, fixed)["loss"] != found["loss"]
