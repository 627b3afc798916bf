import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
from eartalk_jax.tokenizers import check, coding, kl, pair, taehv, taesd
from eartalk_jax.tokenizers.pretrained import Pretrained
from eartalk_jax.tokenizers.storing import load_tokenizer, save_tokenizer

diffusers = pytest.importorskip("diffusers")
torch = pytest.importorskip("torch")

SETTINGS = {
  "encoder_block_out_channels": (8, 8, 8),
  "decoder_block_out_channels": (12, 12, 12),
  "num_encoder_blocks": (1, 2, 1),
  "num_decoder_blocks": (2, 1, 1),
  "latent_channels": 3,
}
WIDTHS = 12, 8, 6, 10


def within(pictures):
  """Share of numbers that are not cut off."""
  return np.mean((pictures > 0) & (pictures < 1))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  """(AutoencoderTiny, ours)."""
  torch.manual_seed(0)
  theirs = perturbed(diffusers.AutoencoderTiny(**SETTINGS))
  with torch.no_grad():
    theirs.decoder.layers[-1].weight.mul_(0.1)  # few pixels are cut off
  source = saved(theirs, tmp_path_factory.mktemp("taesd"))
  assert taesd.recognises(source)
  assert not kl.recognises(source)
  ours = taesd.imported(source, 32)
  check(ours)
  return theirs, ours


def test_taesd_is_the_function_of_diffusers(tiny):
  theirs, ours = tiny
  pictures_BYX3 = pictures(2, 32, 32, 3)
  latents_BhwC = jax.jit(ours.encode_portrait)(ours.params, pictures_BYX3)
  wanted = theirs.encode(2 * to_torch(pictures_BYX3) - 1).latents
  np.testing.assert_allclose(latents_BhwC, from_torch(wanted), atol=TOLERANCE)
  assert np.abs(latents_BhwC).max() > 0.1
  # Some are beyond the bound at which they are held.
  latents_BhwC = 8 * (pictures(2, 8, 8, 3, seed=1) - 0.5)
  step = jax.jit(ours.decode_step)
  _, made_B1YX3 = step(ours.params, (), latents_BhwC)
  decoded = theirs.decode(to_torch(latents_BhwC)).sample
  wanted_BYX3 = from_torch((decoded.clamp(-1, 1) + 1) / 2)
  np.testing.assert_allclose(made_B1YX3[:, 0], wanted_BYX3, atol=TOLERANCE)
  assert within(wanted_BYX3) > 0.2


def test_taesd_goes_back_to_diffusers(tiny):
  theirs, ours = tiny
  config, arrays = taesd.foreign(ours)
  again = diffusers.AutoencoderTiny.from_config(config)
  found, wanted = again.state_dict(), theirs.state_dict()
  assert found.keys() == wanted.keys() == arrays.keys()
  for name, tensor in wanted.items():
    np.testing.assert_array_equal(arrays[name], tensor)
    assert arrays[name].shape == tuple(found[name].shape)


class Remembers(torch.nn.Module):
  """A block of taehv in PyTorch, for all frames at once."""

  def __init__(self, width):
    super().__init__()
    conv = torch.nn.Conv2d
    layers = [conv(2 * width, width, 3, padding=1)]
    for _ in range(2):
      layers += [torch.nn.ReLU(), conv(width, width, 3, padding=1)]
    self.conv = torch.nn.Sequential(*layers)

  def forward(self, x_BTCYX):
    past = torch.nn.functional.pad(x_BTCYX, (0, 0) * 3 + (1, 0))[:, :-1]
    both = torch.cat([x_BTCYX, past], dim=2)
    made = self.conv(both.flatten(0, 1)).unflatten(0, x_BTCYX.shape[:2])
    return torch.relu(made + x_BTCYX)


class Grows(torch.nn.Module):
  """One frame to several."""

  def __init__(self, width, frames):
    super().__init__()
    self.frames = frames
    self.conv = torch.nn.Conv2d(width, width * frames, 1, bias=False)

  def forward(self, x_BTCYX):
    made = self.conv(x_BTCYX.flatten(0, 1)).unflatten(0, x_BTCYX.shape[:2])
    return made.unflatten(2, (self.frames, -1)).flatten(1, 2)


class Taehv(torch.nn.Module):
  """Its decoder, layers numbered as in its file; encoders are of no use."""

  def __init__(self, channels, patch):
    super().__init__()
    conv, none = torch.nn.Conv2d, torch.nn.Identity
    self.patch = patch
    layers = [none(), conv(channels, WIDTHS[0], 3, padding=1), torch.nn.ReLU()]
    for index, frames in enumerate((1, 2, 2)):
      width, after = WIDTHS[index : index + 2]
      layers += [Remembers(width) for _ in range(3)]
      layers += [torch.nn.Upsample(scale_factor=2), Grows(width, frames)]
      layers += [conv(width, after, 3, padding=1, bias=False)]
    last = conv(WIDTHS[-1], 3 * patch**2, 3, padding=1)
    self.decoder = torch.nn.Sequential(*layers, torch.nn.ReLU(), last)
    self.encoder = torch.nn.Sequential(conv(3, 4, 3))

  def forward(self, latents_BtChw):
    """The frames of latent 1 and on, and the one of latent 0."""
    x = 3 * torch.tanh(latents_BtChw / 3)
    for layer in self.decoder:
      if isinstance(layer, (Remembers, Grows)):
        x = layer(x)
      else:
        x = layer(x.flatten(0, 1)).unflatten(0, (len(x), -1))
    shuffled = torch.nn.functional.pixel_shuffle(x, self.patch)
    return shuffled.clamp(0, 1)[:, 3:]


@pytest.fixture(scope="module", params=[1, 2])
def video(request, tmp_path_factory):
  """(taehv in PyTorch, ours)."""
  patch = request.param
  torch.manual_seed(0)
  theirs = perturbed(Taehv(5, patch))
  arrays = {name: x.numpy() for name, x in theirs.state_dict().items()}
  path = tmp_path_factory.mktemp("taehv") / "taew.safetensors"
  source = file_of(path, arrays)
  assert taehv.recognises(source)
  ours = taehv.imported(source, 16 * patch)
  assert ours.config == taehv.Config(16 * patch, 5, patch, WIDTHS)
  kept = {n: x for n, x in arrays.items() if n.startswith("decoder.")}
  jax.tree.map(np.testing.assert_array_equal, taehv.foreign(ours)[1], kept)
  return theirs, ours


def test_taehv_streamed_is_the_whole(video):
  theirs, ours = video
  latents_BthwC = 8 * (pictures(2, 4, 2, 2, 5) - 0.5)
  with torch.no_grad():
    latents_BtChw = torch.from_numpy(np.moveaxis(latents_BthwC, -1, 2).copy())
    wanted_BTYX3 = np.moveaxis(theirs(latents_BtChw).numpy(), 2, -1)
  assert wanted_BTYX3.shape[1] == 13
  step = jax.jit(ours.decode_step)
  portrait_BhwC, *later = np.moveaxis(latents_BthwC, 1, 0)
  state = jax.jit(ours.init_decode)(ours.params, None, portrait_BhwC)
  made = []
  for latent_BhwC in later:
    state, frames_BsYX3 = step(ours.params, state, latent_BhwC)
    made.append(np.asarray(frames_BsYX3))
  made_BTYX3 = np.concatenate(made, axis=1)
  np.testing.assert_allclose(made_BTYX3, wanted_BTYX3[:, 1:], atol=TOLERANCE)
  assert within(wanted_BTYX3) > 0.2
  assert (np.ptp(wanted_BTYX3, axis=1) > 0.01).any()


class Means(Pretrained):
  """An encoder of 4 frames to a latent, without weights of its own."""

  kind = "means"
  stride, delay = 4, 0

  def encode_portrait(self, params, picture_BYX3):
    """See `Tokenizer`."""
    h, w, channels = self.latent_shape
    small = jax.image.resize(
      picture_BYX3, (len(picture_BYX3), h, w, 3), "linear"
    )
    padded = jnp.pad(small, ((0, 0),) * 3 + ((0, channels - 3),))
    return self.normal(padded + params["encoder"]["bias"])

  def init_encode(self, params, portrait_BYX3):
    """See `Tokenizer`."""
    return (), self.encode_portrait(params, portrait_BYX3)

  def encode_step(self, params, state, frames_BsYX3):
    """See `Tokenizer`."""
    return state, self.encode_portrait(params, frames_BsYX3.mean(axis=1))


def test_a_pair_of_videos_obeys_the_laws(video):
  _, decoder = video
  with pytest.raises(UserError, match="a decoder alone"):
    check(decoder)
  params = {"encoder": {"bias": np.float32(0.1)}}
  mean_C, std_C = np.full(5, 0.5, np.float32), np.full(5, 0.2, np.float32)
  both = pair.paired(Means(decoder.config, params, mean_C, std_C), decoder)
  check(both)
  frames_BTYX3 = (255 * pictures(2, 9, *both.picture_shape, 3)).astype(np.uint8)
  made_BTYX3 = coding.round_trip(both, frames_BTYX3)
  assert made_BTYX3.shape == frames_BTYX3.shape
  np.testing.assert_array_equal(made_BTYX3[:, 0], frames_BTYX3[:, 0])
  np.testing.assert_array_equal(both.std_C, std_C)


@pytest.fixture(scope="module")
def both(tiny, tmp_path_factory):
  """(KL, KL's encoder with TAESD's decoder)."""
  torch.manual_seed(0)
  theirs = diffusers.AutoencoderKL(
    down_block_types=("DownEncoderBlock2D",) * 3,
    up_block_types=("UpDecoderBlock2D",) * 3,
    block_out_channels=(8, 8, 8),
    layers_per_block=1,
    latent_channels=3,
    norm_num_groups=4,
    scaling_factor=0.3,
  )
  folder = tmp_path_factory.mktemp("kl")
  encoder = kl.imported(saved(perturbed(theirs), folder), 32)
  return encoder, pair.paired(encoder, tiny[1])


def test_a_pair_is_its_halves(tiny, both):
  (encoder, whole), (_, decoder) = both, tiny
  check(whole)
  frames_BTYX3 = (255 * pictures(2, 3, 32, 32, 3)).astype(np.uint8)
  latents_BthwC = coding.encode(whole, frames_BTYX3)
  wanted_BthwC = coding.encode(encoder, frames_BTYX3)
  np.testing.assert_array_equal(latents_BthwC, wanted_BthwC)
  made_BTYX3 = coding.decode(whole, None, latents_BthwC)
  wanted_BTYX3 = coding.decode(decoder, None, latents_BthwC)
  np.testing.assert_array_equal(made_BTYX3, wanted_BTYX3)
  np.testing.assert_array_equal(whole.std_C, encoder.std_C)


def test_a_pair_is_kept_without_what_it_never_runs(both, tmp_path):
  encoder, whole = both
  save_tokenizer(tmp_path, whole)
  again = load_tokenizer(tmp_path)
  assert again.fingerprint == whole.fingerprint
  assert again.fingerprint != encoder.fingerprint
  jax.tree.map(np.testing.assert_array_equal, again.params, whole.params)
  assert whole.params["encoder"].keys() == {"encoder", "quant_conv"}
  assert whole.params["decoder"].keys() == {"decoder"}
  path = tmp_path / "tokenizer.json"
  path.write_text(path.read_text().replace('"taesd"', '"pair"'))
  with pytest.raises(UserError, match="damaged .*a half of the pair"):
    load_tokenizer(tmp_path)
  description = json.loads(path.read_text())
  description["config"]["decoder"] = description["config"]["encoder"]
  path.write_text(json.dumps(description))
  with pytest.raises(UserError, match="weights are not those"):
    load_tokenizer(tmp_path)


def test_a_pair_of_unlike_halves_is_refused(tiny, both, video):
  encoder, whole = both
  with pytest.raises(UserError, match=r"stride 1 and .* 'taehv' has 4"):
    pair.paired(encoder, video[1])
  other = taesd.abstract(taesd.Config(32, latent_channels=3))
  with pytest.raises(UserError, match=r"latent_shape \(8, 8, 3\) and"):
    pair.paired(encoder, other)
  with pytest.raises(UserError, match="'pair' cannot be half of a pair"):
    pair.paired(whole, tiny[1])


def test_what_does_not_fit_is_named(video, tmp_path):
  with pytest.raises(UserError, match="has 3 entries|as many entries"):
    taesd.load({"size": 32, "num_decoder_blocks": [1, 1, 1]}, {})
  arrays = taehv.foreign(video[1])[1]
  short = {n: x for n, x in arrays.items() if n != "decoder.9.conv.2.bias"}
  with pytest.raises(UserError, match="lacks decoder.9.conv.2.bias"):
    taehv.imported(file_of(tmp_path / "short.safetensors", short), 32)
  with pytest.raises(UserError, match="not a multiple of"):
    taehv.imported(file_of(tmp_path / "odd.safetensors", arrays), 20)
