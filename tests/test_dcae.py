import jax
import numpy as np
import pytest
from foreign import (
  TOLERANCE,
  from_torch,
  perturbed,
  pictures,
  saved,
  to_torch,
)

from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import shapes_of
from eartalk_jax.tokenizers import check, dcae

diffusers = pytest.importorskip("diffusers")
torch = pytest.importorskip("torch")

_TWO = ("ResBlock", "EfficientViTBlock")
_THREE = ("ResBlock", "ResBlock", "EfficientViTBlock")
# As the files of Sana and those of in-1.0 and mix-1.0 are made, but small. The
# side of a picture beside each: one with many latents, one with fewer than a
# head is wide.
SETTINGS = {
  "sana": {
    "latent_channels": 4,
    "attention_head_dim": 8,
    "encoder_block_types": _TWO,
    "decoder_block_types": _TWO,
    "encoder_block_out_channels": (8, 16),
    "decoder_block_out_channels": (12, 24),
    "encoder_layers_per_block": (1, 1),
    "decoder_layers_per_block": (1, 1),
    "encoder_qkv_multiscales": ((), (5,)),
    "decoder_qkv_multiscales": ((), (5,)),
    "downsample_block_type": "conv",
    "upsample_block_type": "interpolate",
    "scaling_factor": 0.41407,
  },
  "in": {
    "latent_channels": 4,
    "attention_head_dim": 8,
    "encoder_block_types": _THREE,
    "decoder_block_types": _THREE,
    "encoder_block_out_channels": (8, 8, 16),
    "decoder_block_out_channels": (8, 12, 24),
    "encoder_layers_per_block": (0, 1, 1),
    "decoder_layers_per_block": (0, 2, 1),
    "encoder_qkv_multiscales": ((), (), ()),
    "decoder_qkv_multiscales": ((), (), ()),
    "decoder_norm_types": ("batch_norm", "batch_norm", "rms_norm"),
    "decoder_act_fns": ("relu", "relu", "silu"),
    "scaling_factor": 0.3189,
  },
}


@pytest.fixture(scope="module", params=[("sana", 16), ("in", 8)])
def pair(request, tmp_path_factory):
  """(the original, ours)."""
  name, size = request.param
  torch.manual_seed(0)
  theirs = perturbed(diffusers.AutoencoderDC(**SETTINGS[name]))
  generator = torch.Generator().manual_seed(1)
  for key, tensor in theirs.named_buffers():  # none is learnt, all count
    if key.endswith(("running_mean", "running_var")):
      moved = 0.5 * torch.rand(tensor.shape, generator=generator)
      tensor.add_(moved)
  source = saved(theirs, tmp_path_factory.mktemp(name))
  assert dcae.recognises(source)
  ours = dcae.imported(source, size)
  check(ours)
  return theirs, ours


def test_it_is_the_function_of_diffusers(pair):
  theirs, ours = pair
  scale = theirs.config.scaling_factor
  pictures_BYX3 = pictures(2, *ours.picture_shape, 3)
  latents_BhwC = jax.jit(ours.encode_portrait)(ours.params, pictures_BYX3)
  latent = theirs.encode(2 * to_torch(pictures_BYX3) - 1).latent
  wanted_BhwC = from_torch(latent * scale)
  np.testing.assert_allclose(latents_BhwC, wanted_BhwC, atol=TOLERANCE)
  assert np.abs(latents_BhwC).max() > 0.1
  latents_BhwC = pictures(2, *ours.latent_shape, seed=1) - 0.5
  step = jax.jit(ours.decode_step)
  _, made_B1YX3 = step(ours.params, (), latents_BhwC)
  decoded = theirs.decode(to_torch(latents_BhwC) / scale).sample
  wanted_BYX3 = from_torch((decoded.clamp(-1, 1) + 1) / 2)
  np.testing.assert_allclose(made_B1YX3[:, 0], wanted_BYX3, atol=TOLERANCE)
  assert np.ptp(wanted_BYX3) > 0.2


def test_it_goes_back_to_diffusers(pair):
  theirs, ours = pair
  config, arrays = dcae.foreign(ours)
  again = diffusers.AutoencoderDC.from_config(config)
  found, wanted = again.state_dict(), theirs.state_dict()
  assert found.keys() == wanted.keys() == arrays.keys()
  for name in wanted:
    np.testing.assert_array_equal(arrays[name], wanted[name])
    assert arrays[name].shape == tuple(found[name].shape)
  assert again.config.scaling_factor == pytest.approx(
    theirs.config.scaling_factor
  )


@pytest.mark.parametrize(
  ("name", "millions"),
  [("dc-ae-f32c32-sana-1.1", 312), ("dc-ae-f32c32-in-1.0", 323)],
)
def test_the_published_ones_have_the_sizes_that_are_known(name, millions):
  shapes = shapes_of(dcae.abstract(dcae.PUBLISHED[name]).params)
  numbers = sum(int(np.prod(shape)) for shape in shapes.values())
  assert round(numbers / 1e6) == millions


def test_settings_that_cannot_be_are_named():
  with pytest.raises(ValueError, match="types has 6 entries, but .* has 5"):
    dcae.Config(64, encoder_block_out_channels=(32,) * 5)
  with pytest.raises(UserError, match="not a multiple of 32"):
    dcae.load({"size": 48}, {})
