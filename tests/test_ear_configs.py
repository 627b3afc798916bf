"""The configs of real sizes are named by their parameters."""

import importlib

import pytest

from eartalk_jax.config import from_config
from eartalk_jax.scaling.flops import parameters
from eartalk_jax.training.train_config import TrainConfig


@pytest.mark.parametrize(
  "name, size", [("70m", 70e6), ("300m", 300e6), ("1b", 1e9), ("7b", 7e9)]
)
def test_a_config_has_the_parameters_of_its_name(name, size):
  module = importlib.import_module(f"configs.ear_{name}")
  config = from_config(TrainConfig, module.get_config())
  assert sum(parameters(config.model).values()) == pytest.approx(size, rel=0.1)
  assert config.model.latent_shape == (64, 64, 16)
  assert config.model.window == 10
  for part in (config.model, config.model.head):
    assert part.width // part.heads in (64, 128)
