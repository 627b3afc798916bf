import dataclasses

import numpy as np
import pytest
import torch
from foreign import (
  TOLERANCE,
  from_torch,
  perturbed,
  pictures,
  saved,
  to_torch,
)

from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers import check, kl

diffusers = pytest.importorskip("diffusers")
SETTINGS = {
  "down_block_types": ("DownEncoderBlock2D",) * 3,
  "up_block_types": ("UpDecoderBlock2D",) * 3,
  "block_out_channels": (8, 16, 16),
  "layers_per_block": 1,
  "latent_channels": 3,
  "norm_num_groups": 4,
  "sample_size": 32,
  "scaling_factor": 0.3,
  "shift_factor": 0.2,
}


@pytest.fixture(scope="module")
def theirs():
  torch.manual_seed(0)
  return perturbed(diffusers.AutoencoderKL(**SETTINGS))


@pytest.fixture(scope="module")
def source(theirs, tmp_path_factory):
  return saved(theirs, tmp_path_factory.mktemp("kl"))


@pytest.fixture(scope="module")
def ours(source):
  assert kl.recognises(source)
  tokenizer = kl.imported(source, 32)
  check(tokenizer)
  return tokenizer


def test_it_is_the_function_of_diffusers(theirs, ours):
  pictures_BYX3 = pictures(2, 32, 32, 3)
  latents_BhwC = ours.encode_portrait(ours.params, pictures_BYX3)
  mean = theirs.encode(2 * to_torch(pictures_BYX3) - 1).latent_dist.mean
  wanted_BhwC = from_torch((mean - 0.2) * 0.3)
  np.testing.assert_allclose(latents_BhwC, wanted_BhwC, atol=TOLERANCE)
  assert np.abs(latents_BhwC).max() > 0.1
  latents_BhwC = pictures(2, 8, 8, 3, seed=1) - 0.5
  state = ours.init_decode(ours.params, None, None)
  _, made_B1YX3 = ours.decode_step(ours.params, state, latents_BhwC)
  decoded = theirs.decode(to_torch(latents_BhwC) / 0.3 + 0.2).sample
  wanted_BYX3 = from_torch((decoded.clamp(-1, 1) + 1) / 2)
  np.testing.assert_allclose(made_B1YX3[:, 0], wanted_BYX3, atol=TOLERANCE)


def test_it_goes_back_to_diffusers(theirs, ours, tmp_path):
  config, arrays = kl.foreign(ours)
  again = diffusers.AutoencoderKL.from_config(config)
  for name, tensor in again.state_dict().items():
    np.testing.assert_array_equal(arrays[name], theirs.state_dict()[name])
    assert arrays[name].shape == tensor.shape


def test_what_does_not_fit_is_named(source):
  with pytest.raises(UserError, match="not a multiple of 4"):
    kl.imported(source, 30)
  names = [name for name in source.names if name != "quant_conv.bias"]
  short = source.renamed({name: name for name in names})
  with pytest.raises(UserError, match="lacks quant_conv.bias"):
    kl.imported(short, 32)
  strange = dataclasses.replace(source, config=source.config | {"depth": 2})
  with pytest.raises(UserError, match="unknown key 'depth'"):
    kl.imported(strange, 32)
