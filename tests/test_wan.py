import dataclasses
import math

import jax
import jax.numpy as jnp
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

from eartalk_jax import spans
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
# What configurations of the first year lack.
NEW = (
  *("decoder_base_dim", "is_residual", "in_channels", "out_channels"),
  *("patch_size", "scale_factor_temporal", "scale_factor_spatial"),
)


class Both:
  """A model of diffusers and the tokenizer that came of its files."""

  def __init__(self, version, folder):
    torch.manual_seed(0)
    self.theirs = perturbed(diffusers.AutoencoderKLWan(**SETTINGS[version]))
    with torch.no_grad():  # what is cut off beyond [-1, 1] is not compared
      for parameter in self.theirs.decoder.conv_out.parameters():
        parameter *= 0.2
    self.source = saved(self.theirs, folder)
    config = dict(self.source.config)
    if version == "2.1":
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
    for latent in range(1, spans.latents_of(frames_BTYX3.shape[1], 4)):
      part_B4YX3 = frames_BTYX3[:, spans.frames_of(latent, 4)]
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
  frames_BTYX3 = pictures(2, 15, 32, 32, 3)  # two are dropped
  mean = both.theirs.encode(2 * to_torch(frames_BTYX3) - 1).latent_dist.mean
  wanted_BthwC = both.ours.normal(from_torch(mean))
  close(both.encoded(frames_BTYX3), wanted_BthwC)
  latents_BthwC = latents_of(both, 4)
  raw_BthwC = np.asarray(both.ours.raw(latents_BthwC))
  wanted_BTYX3 = from_torch(both.theirs.decode(to_torch(raw_BthwC)).sample)
  close(both.decoded(latents_BthwC), (wanted_BTYX3[:, 1:] + 1) / 2)
  made_BTYX3 = both.whole["decode"](both.params, raw_BthwC)
  close(np.clip(made_BTYX3, -1, 1), wanted_BTYX3)
  assert (np.abs(wanted_BTYX3) == 1).mean() < 0.01


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
  sign_t = np.float32([1, 1, 1, -1])[None, :, None, None, None]
  other = both.whole["decode"](both.params, latents_BthwC * sign_t)
  np.testing.assert_array_equal(made[:, :9], other[:, :9])
  assert np.abs(made - other)[:, 9:].max() > 0.01


def test_every_weight_learns():
  config = wan.Config(
    size=8,
    base_dim=4,
    z_dim=2,
    dim_mult=(2, 2),
    num_res_blocks=1,
    temperal_downsample=(True,),
    is_residual=True,
    patch_size=2,
  )
  assert (config.stride, config.latent_shape) == (2, (2, 2, 2))
  network = Network(config)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: 0.3 * rng.standard_normal(leaf.shape, np.float32),
    wan.abstract(config).params,
  )

  @jax.jit
  @jax.grad
  def gradient(params, frames_BTYX3):
    (mean, log_variance), made = network.apply(
      {"params": params}, frames_BTYX3, method=codes_and_frames
    )
    return jnp.sum((made - frames_BTYX3) ** 2) + jnp.sum(mean * log_variance)

  frames_BTYX3 = 2 * pictures(1, 5, 8, 8, 3) - 1
  found = jax.tree.leaves_with_path(gradient(params, frames_BTYX3))
  for path, leaf in found:
    assert np.isfinite(leaf).all() and np.abs(leaf).max() > 1e-6, path
  # Where all is 0, norms must have gradients.
  nothing = jax.tree.map(np.zeros_like, (params, frames_BTYX3))
  for leaf in jax.tree.leaves(gradient(*nothing)):
    assert np.isfinite(leaf).all()


def codes_and_frames(network, frames_BTYX3):
  codes = network.encode(frames_BTYX3)
  return codes, network.decode(codes[0])


def test_it_goes_back_to_diffusers(both):
  config, arrays = wan.foreign(both.ours)
  again = diffusers.AutoencoderKLWan.from_config(config)
  tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
  again.load_state_dict(tensors, strict=True)
  for name, tensor in both.theirs.state_dict().items():
    np.testing.assert_array_equal(arrays[name], tensor)
  for key, value in config.items():
    if key.startswith("latents_"):
      value = pytest.approx(value, rel=1e-6)
    assert key == "_class_name" or both.theirs.config[key] == value, key


@pytest.mark.parametrize(
  "name, millions, encoder, decoder, encode, decode",
  [
    ("wan2.1", 126.9, 368.1, 619.8, 5.27, 8.88),
    ("wan2.2", 704.7, 154.3, 467.8, 3.66, 19.29),
  ],
)
def test_the_published_ones_have_their_size(
  name, millions, encoder, decoder, encode, decode
):
  ours = wan.abstract(wan.PUBLISHED[name])
  assert numbers(ours.params) / 1e6 == pytest.approx(millions, abs=0.05)
  picture_1YX3 = jax.ShapeDtypeStruct((1, 512, 512, 3), jnp.float32)
  frames_14YX3 = jax.ShapeDtypeStruct((1, 4, 512, 512, 3), jnp.float32)
  encoding, latent_1hwC = jax.eval_shape(
    ours.init_encode, ours.params, picture_1YX3
  )
  decoding = jax.eval_shape(
    ours.init_decode, ours.params, picture_1YX3, latent_1hwC
  )
  assert numbers(encoding) / 1e6 == pytest.approx(encoder, abs=0.05)
  assert numbers(decoding) / 1e6 == pytest.approx(decoder, abs=0.05)
  work = flops(ours.encode_step, ours.params, encoding, frames_14YX3)
  assert work / 1e12 == pytest.approx(encode, abs=0.006)
  work = flops(ours.decode_step, ours.params, decoding, latent_1hwC)
  assert work / 1e12 == pytest.approx(decode, abs=0.006)


def numbers(tree):
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_what_does_not_fit_is_named(both):
  factor = both.ours.config.factor
  with pytest.raises(UserError, match=f"not a multiple of {factor}"):
    wan.imported(both.source, factor + 4)
  with pytest.raises(ValueError, match="12 frames are not 1 . n . 4"):
    both.apply(jnp.zeros((1, 12, 32, 32, 3)), "encode")
  lost = "decoder.up_blocks.0.resnets.0.norm1.gamma"
  short = both.source.renamed({n: n for n in both.source.names if n != lost})
  with pytest.raises(UserError, match=f"lacks {lost}"):
    wan.imported(short, 32)
  for key, value, match in (
    ("depth", 2, "unknown key 'depth'"),
    ("in_channels", 5, "in_channels is 5"),
    ("attn_scales", [1.0], "attn_scales is"),
    ("temperal_downsample", [True], "must have 3 entries"),
    ("latents_std", [1.0] * 3, "latent statistics of 4 channels"),
  ):
    config = both.source.config | {key: value}
    strange = dataclasses.replace(both.source, config=config)
    with pytest.raises(UserError, match=match):
      wan.imported(strange, 32)
  if both.ours.config.is_residual:
    bare = dataclasses.replace(both.source, config={})
    assert wan.recognises(bare)
    with pytest.raises(UserError, match="without a config.json"):
      wan.imported(bare, 32)
