import dataclasses
import functools

import jax
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

from eartalk_jax.config import to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import shapes_of
from eartalk_jax.importing.sources import Source
from eartalk_jax.tokenizers import check, ltx
from eartalk_jax.tokenizers.ltx import decoder, originals
from eartalk_jax.tokenizers.ltx.chunks import chunked
from eartalk_jax.tokenizers.ltx.network import Network

diffusers = pytest.importorskip("diffusers")
SIZE, T = 64, True
# What 0.9.0 has, by diffusers' own defaults.
_PLAIN = {
  "down_block_types": ("LTXVideoDownBlock3D",) * 4,
  "spatio_temporal_scaling": (T, T, T, False),
  "decoder_spatio_temporal_scaling": (T, T, T, False),
  "downsample_type": ("conv",) * 4,
  "decoder_inject_noise": (False,) * 5,
  "upsample_residual": (False,) * 4,
  "upsample_factor": (1,) * 4,
  "timestep_conditioning": False,
}
_ALIKE = {"latent_channels": 8, "layers_per_block": (1,) * 5}
_OF_091 = {
  "decoder_block_out_channels": (16, 32, 64),
  "decoder_layers_per_block": (1,) * 4,
  "decoder_spatio_temporal_scaling": (T,) * 3,
  "decoder_inject_noise": (T, T, T, False),
  "upsample_residual": (T,) * 3,
  "upsample_factor": (2,) * 3,
  "timestep_conditioning": True,
}
SETTINGS = {
  "0.9.0": {
    "block_out_channels": (8, 16, 24, 24),
    "decoder_block_out_channels": (8, 16, 24, 24),
    "decoder_layers_per_block": (1,) * 5,
    "scaling_factor": 0.5,
  },
  "0.9.1": {"block_out_channels": (8, 16, 24, 24), **_OF_091},
  "0.9.5": {
    "block_out_channels": (8, 16, 32, 64, 64),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "spatio_temporal_scaling": (T,) * 4,
    "downsample_type": ("spatial", "temporal", *("spatiotemporal",) * 2),
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
    **_OF_091,
    "decoder_inject_noise": (False,) * 4,
  },
}
# Parameters and tensors of what was published, counted with diffusers.
COUNTS = {
  "ltx0.9.0": (180.4, 238.8, 190),
  "ltx0.9.1": (180.4, 754.6, 294),
  "ltx0.9.5": (694.1, 552.8, 226),
}


def _model(version):
  torch.manual_seed(0)
  model = diffusers.AutoencoderKLLTXVideo(**_ALIKE, **SETTINGS[version])
  model.latents_mean += torch.linspace(-1, 1, 8)
  model.latents_std *= torch.linspace(0.5, 2, 8)
  return perturbed(model)


@pytest.fixture(scope="module")
def make(tmp_path_factory):
  """Version -> (their model, the Source of its folder, our tokenizer)."""

  @functools.cache
  def made(version):
    theirs = _model(version)
    source = saved(theirs, tmp_path_factory.mktemp(version))
    assert ltx.recognises(source)
    ours = ltx.imported(source, SIZE)
    check(ours)
    return theirs, source, ours

  return made


@pytest.fixture(scope="module", params=SETTINGS)
def pair(request, make):
  return make(request.param)


def _decoded(model, latents_BthwC):
  """Theirs, its noise being ours, which comes in the same order."""
  numbers = iter(range(100))

  def field(shape, **_):
    return torch.from_numpy(
      np.array(decoder.field(next(numbers), *shape)[..., 0])
    )

  time_B = torch.full((len(latents_BthwC),), 0.05)
  with pytest.MonkeyPatch.context() as patch, torch.no_grad():
    patch.setattr(torch, "randn", field)
    return from_torch(model.decode(to_torch(latents_BthwC), time_B).sample)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _network(config, method, params, x):
  return Network(config).apply({"params": params}, x, method=method)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(tokenizer, name, *args):
  return getattr(tokenizer, name)(tokenizer.params, *args)


def _streamed(tokenizer, latents_BthwC):
  """Frames of each step, the void ones too."""
  state, parts = tokenizer.init_decode(None, None, latents_BthwC[:, 0]), []
  for latent_BhwC in np.moveaxis(latents_BthwC[:, 1:], 1, 0):
    state, frames_BsYX3 = _step(tokenizer, "decode_step", state, latent_BhwC)
    parts.append(frames_BsYX3)
  return np.concatenate(parts, axis=1)


def test_it_encodes_as_diffusers_whole_and_streamed(pair):
  theirs, _, ours = pair
  frames_BTYX3 = pictures(2, 17, SIZE, SIZE, 3)
  signed_BTYX3 = 2 * frames_BTYX3 - 1
  with torch.no_grad():
    wanted = theirs.encode(to_torch(signed_BTYX3)).latent_dist
  mean, log_variance, _ = _network(
    ours.config, "encode", ours.params, signed_BTYX3
  )
  np.testing.assert_allclose(mean, from_torch(wanted.mean), atol=TOLERANCE)
  log_variance = np.broadcast_to(log_variance, mean.shape)
  wanted_BthwC = from_torch(wanted.logvar)
  np.testing.assert_allclose(log_variance, wanted_BthwC, atol=TOLERANCE)
  state, latent_BhwC = _step(ours, "init_encode", frames_BTYX3[:, 0])
  latents = [latent_BhwC]
  for start in (1, 9):
    part_BsYX3 = frames_BTYX3[:, start : start + 8]
    state, latent_BhwC = _step(ours, "encode_step", state, part_BsYX3)
    latents.append(latent_BhwC)
  mean_C, std_C = np.linspace(-1, 1, 8), np.linspace(0.5, 2, 8)
  scaled_BthwC = (from_torch(wanted.mean) - mean_C) / std_C
  scaled_BthwC *= theirs.config.scaling_factor
  latents_BthwC = np.stack(latents, axis=1)
  np.testing.assert_allclose(latents_BthwC, scaled_BthwC, atol=TOLERANCE)
  assert np.ptp(latents_BthwC, axis=1).max() > 0.01


def test_it_decodes_as_diffusers_whole_and_by_windows(pair):
  theirs, _, ours = pair
  latents_BthwC = pictures(2, 5, 2, 2, 8, seed=1) - 0.5
  raw_BthwC = np.asarray(ours.raw(latents_BthwC))
  made_BTYX3 = _network(ours.config, "decode", ours.params, raw_BthwC[:, :3])
  wanted_BTYX3 = _decoded(theirs, raw_BthwC[:, :3])
  np.testing.assert_allclose(made_BTYX3, wanted_BTYX3, atol=TOLERANCE)
  decode = functools.partial(_decoded, theirs)
  wanted_BTYX3 = np.clip(
    (chunked(decode, raw_BthwC, ours.config) + 1) / 2, 0, 1
  )
  # At the end the last latent is given once more, as `coding.decode` does.
  fed = latents_BthwC[:, [0, 1, 2, 3, 4, 4]]
  made_BTYX3 = _streamed(ours, fed)[:, 8 * ours.delay :]
  np.testing.assert_allclose(made_BTYX3, wanted_BTYX3, atol=TOLERANCE)
  assert np.ptp(wanted_BTYX3, axis=1).max() > 0.01
  # Later latents change nothing that was shown before, to the bit.
  fed[:, 4:] = 9.0
  other_BTYX3 = _streamed(ours, fed)[:, 8 * ours.delay :]
  np.testing.assert_array_equal(other_BTYX3[:, :16], made_BTYX3[:, :16])
  assert (other_BTYX3[:, 16:24] != made_BTYX3[:, 16:24]).any()


def test_it_goes_back_to_diffusers_and_into_a_file(pair):
  theirs, _, ours = pair
  again = ltx.load(to_dict(ours.config), ours.arrays())
  assert again.fingerprint == ours.fingerprint
  config, arrays = ltx.foreign(ours)
  again = diffusers.AutoencoderKLLTXVideo.from_config(config)
  state = theirs.state_dict()
  assert again.state_dict().keys() == arrays.keys() == state.keys()
  scale = theirs.config.scaling_factor
  for name, tensor in again.state_dict().items():
    assert arrays[name].shape == tensor.shape
    wanted = state[name] / (scale if name == "latents_std" else 1)
    np.testing.assert_array_equal(arrays[name], wanted)
  for name in ("block_out_channels", "upsample_factor", "downsample_type"):
    assert again.config[name] == theirs.config[name]


@pytest.mark.parametrize("name", ltx.PUBLISHED)
def test_what_was_published_has_their_names_and_sizes(name):
  config = ltx.PUBLISHED[name]
  tokenizer = ltx.abstract(config)
  assert (tokenizer.latent_shape, tokenizer.stride) == ((16, 16, 128), 8)
  rules, shapes = ltx.rules(config), shapes_of(tokenizer.params)
  encoder, decoder, tensors = COUNTS[name]
  for part, millions in ("encoder/", encoder), ("decoder/", decoder):
    count = sum(
      np.prod(shape) for path, shape in shapes.items() if path.startswith(part)
    )
    assert abs(count / 1e6 - millions) < 0.1
  # Two statistics are no parameters.
  assert len(rules) + 2 == tensors
  theirs, single = _single(config)
  assert {rule.name for rule in rules.values()} | {
    "latents_mean",
    "latents_std",
  } == set(theirs)
  source = Source("", {}, tuple(single), single, {})
  assert ltx.recognises(source)
  found = originals.of_diffusers(originals.alone(source), config, theirs)
  assert {n: found.read[n].shape for n in found.names} == theirs


def _single(config):
  """{name: shape} of diffusers, and {name: tensor} as the authors' file has it.

  Diffusers' own conversion of such a file makes sure that it is one.
  """
  from diffusers.loaders import single_file_utils

  described = dataclasses.asdict(config)
  for ours in ("size", "decode_timestep", "context", "delay"):
    del described[ours]
  with torch.device("meta"):
    model = diffusers.AutoencoderKLLTXVideo(**described)
  theirs = {name: tensor.shape for name, tensor in model.state_dict().items()}
  single = {
    f"vae.{originals.original(name, config)}": tensor
    for name, tensor in model.state_dict().items()
  }
  for name in ("channel", "mean-of-stds"):
    single[f"vae.per_channel_statistics.{name}"] = torch.zeros(128)
  single["model.diffusion_model.proj_in.weight"] = torch.zeros(1)
  convert = single_file_utils.convert_ltx_vae_checkpoint_to_diffusers
  again = convert(dict(single))
  assert {name: tensor.shape for name, tensor in again.items()} == theirs
  return theirs, single


def test_a_single_file_of_the_authors_is_imported(pair, tmp_path):
  _, source, ours = pair
  arrays = {
    f"vae.{originals.original(name, ours.config)}": source.tensor(name)
    for name in source.names
  }
  arrays["model.diffusion_model.proj_in.weight"] = np.zeros(1)
  single = file_of(tmp_path / "ltx.safetensors", arrays)
  assert ltx.recognises(single)
  single = dataclasses.replace(single, config=source.config)
  assert ltx.imported(single, SIZE).fingerprint == ours.fingerprint
  # Both forms of the statistics in one file: which were applied?
  twice = "vae.latents_mean"
  arrays[twice] = np.zeros(8)
  single = file_of(tmp_path / "twice.safetensors", arrays)
  single = dataclasses.replace(single, config=source.config)
  with pytest.raises(UserError, match="a tensor twice"):
    ltx.imported(single, SIZE)


@pytest.mark.parametrize("other", SETTINGS)
def test_tensors_of_another_version_are_named(make, other):
  _, source, _ = make("0.9.1")
  config = _ALIKE | _PLAIN | SETTINGS[other]
  strange = dataclasses.replace(source, config=config)
  if other == "0.9.1":
    ltx.imported(strange, SIZE)
    return
  with pytest.raises(UserError, match=f"of LTX-Video {other}.*are of 0.9.1"):
    ltx.imported(strange, SIZE)


def test_what_does_not_fit_is_named(make):
  _, source, _ = make("0.9.0")
  with pytest.raises(UserError, match="not a multiple of 32"):
    ltx.imported(source, 48)
  for key, value, told in (
    ("depth", 2, "unknown key 'depth'"),
    ("decoder_causal", True, "decoder_causal is True"),
    ("scaling_factor", 0, "scaling_factor is 0"),
    ("layers_per_block", [1] * 4, "layers_per_block has 4 entries"),
    ("latents_mean", [0.0] * 8, "normalised twice"),
  ):
    strange = dataclasses.replace(source, config=source.config | {key: value})
    with pytest.raises(UserError, match=told):
      ltx.imported(strange, SIZE)


def test_latents_whose_scale_is_unknown_are_refused(make):
  _, source, _ = make("0.9.0")
  names = [name for name in source.names if name != "latents_std"]
  short = source.renamed({name: name for name in names})
  with pytest.raises(UserError, match="lacks latents_std"):
    ltx.imported(short, SIZE)
  blank = {"latents_mean": np.zeros(128), "latents_std": np.ones(128)}
  blank = {name: source.read[name] for name in source.names} | blank
  blank = dataclasses.replace(source, read=blank)
  with pytest.raises(UserError, match="are 0 and 1"):
    ltx.imported(blank, SIZE)


def test_an_early_config_means_its_lists_for_the_decoder_too(make):
  _, source, ours = make("0.9.0")
  said = "block_out_channels", "layers_per_block", "spatio_temporal_scaling"
  said = {*said, "latent_channels", "scaling_factor"}
  config = {key: value for key, value in source.config.items() if key in said}
  early = dataclasses.replace(source, config=config)
  assert ltx.imported(early, SIZE).fingerprint == ours.fingerprint
