import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from foreign import (
  TOLERANCE,
  file_of,
  from_torch,
  perturbed,
  pictures,
  saved,
  to_torch,
)

from eartalk_jax.errors import UserError
from eartalk_jax.scaling.traced import flops
from eartalk_jax.tokenizers import check, wan
from eartalk_jax.tokenizers.wan.network import Network

diffusers = pytest.importorskip("diffusers")
SMALL = {
  "base_dim": 8,
  "z_dim": 4,
  "num_res_blocks": 1,
  "latents_mean": [0.1, -0.2, 0.3, 0.05],
  "latents_std": [0.5, 1.5, 0.8, 2.0],
}
SETTINGS = {
  "2.1": SMALL,
  "2.2": SMALL
  | {
    "decoder_base_dim": 16,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
  },
}
NEW = "decoder_base_dim is_residual in_channels out_channels patch_size".split()
NEW += ["scale_factor_temporal", "scale_factor_spatial"]


class Both:
  """A model of diffusers and the tokenizer that came of its files."""

  def __init__(self, version, folder):
    self.theirs = perturbed(diffusers.AutoencoderKLWan(**SETTINGS[version]))
    self.source = saved(self.theirs, folder)
    config = dict(self.source.config)
    if version == "2.1":  # as files of the first year
      for key in NEW:
        del config[key]
    else:
      config["clip_output"] = False
    self.source = dataclasses.replace(self.source, config=config)
    assert wan.recognises(self.source)
    self.ours = wan.imported(self.source, 32)
    self.params = self.ours.params
    for name in "init_encode", "encode_step", "init_decode", "decode_step":
      setattr(self, name, jax.jit(getattr(self.ours, name)))
    self.whole = {
      method: jax.jit(lambda params, x, method=method: self.apply(x, method))
      for method in ("encode", "decode")
    }

  def apply(self, x, method):
    network = Network(self.ours.config)
    return network.apply({"params": self.params}, x, method=method)

  def encoded(self, frames_BTYX3):
    """Latents, step by step."""
    state, latent_BhwC = self.init_encode(self.params, frames_BTYX3[:, 0])
    latents = [latent_BhwC]
    for start in range(1, frames_BTYX3.shape[1], 4):
      part_B4YX3 = frames_BTYX3[:, start : start + 4]
      state, latent_BhwC = self.encode_step(self.params, state, part_B4YX3)
      latents.append(latent_BhwC)
    return np.stack(latents, axis=1)

  def decoded(self, latents_BthwC):
    """Frames after the first, step by step."""
    first_BhwC = latents_BthwC[:, 0]
    state = self.init_decode(self.params, jnp.zeros((2, 32, 32, 3)), first_BhwC)
    frames = []
    for latent in range(1, latents_BthwC.shape[1]):
      state, frames_B4YX3 = self.decode_step(
        self.params, state, latents_BthwC[:, latent]
      )
      frames.append(frames_B4YX3)
    return np.concatenate(frames, axis=1)


@pytest.fixture(scope="module", params=SETTINGS)
def both(request, tmp_path_factory):
  return Both(request.param, tmp_path_factory.mktemp("wan"))


def close(ours, theirs):
  """Within the tolerance, with something to compare in each frame."""
  np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
  frames = np.moveaxis(np.asarray(theirs), 1, 0)
  assert all(frame.std() > 0.01 for frame in frames)
  changes = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2, 3, 4))
  assert (changes > 100 * TOLERANCE).all()


def latents_of(both, latents):
  return pictures(2, latents, *both.ours.latent_shape, seed=1) * 2 - 1


@torch.no_grad()
def test_the_stream_is_the_whole_of_diffusers(both):
  frames_BTYX3 = pictures(2, 13, 32, 32, 3)
  mean = both.theirs.encode(2 * to_torch(frames_BTYX3) - 1).latent_dist.mean
  wanted_BthwC = both.ours.normal(from_torch(mean))
  close(both.encoded(frames_BTYX3), wanted_BthwC)
  latents_BthwC = latents_of(both, 4)
  raw_BthwC = np.asarray(both.ours.raw(latents_BthwC))
  wanted_BTYX3 = from_torch(both.theirs.decode(to_torch(raw_BthwC)).sample)
  close(both.decoded(latents_BthwC), (wanted_BTYX3[:, 1:] + 1) / 2)
  made_BTYX3 = both.whole["decode"](both.params, raw_BthwC)
  close(np.clip(made_BTYX3, -1, 1), wanted_BTYX3)


def test_a_whole_clip_is_its_stream(both):
  check(both.ours)
  frames_BTYX3 = pictures(2, 13, 32, 32, 3, seed=2)
  mean, log_variance = both.whole["encode"](both.params, 2 * frames_BTYX3 - 1)
  assert mean.shape == log_variance.shape
  close(both.encoded(frames_BTYX3), both.ours.normal(mean))
  # Nothing that comes later is seen, to the last bit.
  later_BTYX3 = np.concatenate(
    [frames_BTYX3[:, :9], 1 - frames_BTYX3[:, 9:]], axis=1
  )
  other, _ = both.whole["encode"](both.params, 2 * later_BTYX3 - 1)
  np.testing.assert_array_equal(mean[:, :3], other[:, :3])
  assert np.abs(mean - other)[:, 3].max() > 0.01
  latents_BthwC = latents_of(both, 4)
  made = both.whole["decode"](both.params, latents_BthwC)
  other = both.whole["decode"](
    both.params, np.concatenate([latents_BthwC[:, :3], -latents_BthwC[:, 3:]], 1)
  )
  np.testing.assert_array_equal(made[:, :9], other[:, :9])
  assert np.abs(made - other)[:, 9:].max() > 0.01
