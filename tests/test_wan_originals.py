"""The file of the first authors of Wan 2.1, read by their names."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from foreign import file_of, perturbed

from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers import wan

diffusers = pytest.importorskip("diffusers")
BACK = (
  (r"^quant_conv", "conv1"),
  (r"^post_quant_conv", "conv2"),
  (r"conv_in", "conv1"),
  (r"norm_out", "head.0"),
  (r"conv_out", "head.2"),
  (r"mid_block\.attentions\.0", "middle.1"),
  (r"mid_block\.resnets\.0", "middle.0"),
  (r"mid_block\.resnets\.1", "middle.2"),
  (r"down_blocks", "downsamples"),
  (r"conv_shortcut", "shortcut"),
  (r"norm1", "residual.0"),
  (r"norm2", "residual.3"),
)


def of_the_first_authors(name):
  inside = re.search(r"(resnets|down_blocks)\.\d+\.conv[12]", name)
  if inside:
    name = name.replace(".conv1.", ".residual.2.")
    name = name.replace(".conv2.", ".residual.6.")
  up = re.match(r"decoder\.up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)\.", name)
  if up:
    place = 4 * int(up[1]) + (3 if up[2] == "upsamplers" else int(up[3]))
    name = f"decoder.upsamples.{place}." + name[up.end() :]
  for pattern, replacement in BACK:
    name = re.sub(pattern, replacement, name)
  return name


def test_the_first_authors_file_is_read(tmp_path):
  from diffusers.loaders import single_file_utils

  torch.manual_seed(0)
  theirs = perturbed(diffusers.AutoencoderKLWan(base_dim=2))
  state = theirs.state_dict()
  original = {of_the_first_authors(name): name for name in state}
  converted = single_file_utils.convert_wan_vae_to_diffusers(dict(original))
  assert all(old == new for old, new in converted.items())
  arrays = {new: state[old].numpy() for new, old in original.items()}
  bare = file_of(tmp_path / "Wan2.1_VAE.safetensors", arrays)
  assert wan.recognises(bare)
  with pytest.raises(UserError, match="the tensor .* of another version"):
    wan.imported(bare, 32)
  small = dataclasses.replace(bare, config={"base_dim": 2})
  ours = wan.imported(small, 32)
  for name, array in wan.foreign(ours)[1].items():
    np.testing.assert_array_equal(array, state[name])
  # Published statistics are those of diffusers' defaults.
  np.testing.assert_allclose(ours.mean_C, theirs.config.latents_mean, rtol=1e-6)
  np.testing.assert_allclose(ours.std_C, theirs.config.latents_std, rtol=1e-6)
  nested = "decoder.upsamples.0.upsamples.0.residual.0.gamma"
  names = {name: name for name in bare.names} | {"conv1.bias": nested}
  with pytest.raises(UserError, match="file of Wan 2.2"):
    wan.imported(bare.renamed(names), 32)
