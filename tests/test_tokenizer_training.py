"""The tokenizer's objective: one scale of noise, whatever the batch's parts."""

import itertools

import numpy as np
import pytest
from autoencoders import CONFIG
from tiny import run_config

from eartalk_jax.errors import UserError
from eartalk_jax.training import tokenizer_training
from eartalk_jax.training.tokenizer_training import (
  ObjectiveConfig,
  train_tokenizer,
)


@pytest.mark.parametrize("pictures", [2, 3, 4])
def test_the_noise_has_one_scale_however_a_batch_is_divided(pictures):
  mean_BhwC = np.random.default_rng(0).normal(size=(12, 2, 2, 3))
  whole = np.mean(np.var(mean_BhwC, axis=0))
  np.testing.assert_allclose(
    tokenizer_training._scale(mean_BhwC, 1) ** 2, whole, rtol=1e-6
  )
  # Over all parts of so many pictures the mean is exact.
  parts = itertools.combinations(range(12), pictures)
  scales = [
    tokenizer_training._scale(mean_BhwC[list(part)], 12 // pictures)
    for part in parts
  ]
  np.testing.assert_allclose(np.mean(np.square(scales)), whole, rtol=1e-5)


def test_a_picture_at_a_time_has_no_scale_and_is_refused(tmp_path):
  objective = ObjectiveConfig(kl=1e-6, noise=0.1, softness=0.01)
  run = run_config(batch_size=8, accumulate=8)
  with pytest.raises(UserError, match="one picture at a time"):
    train_tokenizer(
      CONFIG,
      objective,
      run,
      batches=None,
      sample=(),
      workdir=tmp_path / "run",
      claim=None,
      mesh=None,
      judge=None,
    )
  assert not (tmp_path / "run").exists()
