"""The configs of real sizes are named by their parameters."""

import importlib

import pytest

from eartalk_jax.aot import encoders
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
  assert config.model.stride == 4
  for part in (config.model, config.model.head):
    assert part.width // part.heads in (64, 128)


@pytest.mark.parametrize(
  "name, tokenizer",
  [
    ("paper", "wan2.1"),
    ("paper_fast", "wan2.1"),
    ("paper_ltx", "ltx0.9.0"),
    ("ear_1b", "wan2.1"),
  ],
)
def test_a_config_goes_with_the_encoders_that_it_names(name, tokenizer):
  module = importlib.import_module(f"configs.{name}")
  config = from_config(TrainConfig, module.get_config())
  assert config.tokenizer == f"encoders/{tokenizer}"
  encoders.tokenizer_for(tokenizer, config.model)
  hubert = encoders.speech_for("hubert-large-ls960-ft")
  assert encoders.hearing(config.model, hubert, "hubert") == config.model
  assert (config.model.window, config.model.tokens) == (10, 256)
