"""Tokenizers and speech encoders of other libraries, for modeling_eartalk.py.

The folders beside this file are as those libraries have them; what is missing
there, config.json above them says:

  tokenizer/config.json, diffusion_pytorch_model.safetensors     diffusers
  speech/config.json, model.safetensors                       transformers

All are in float32 and loaded strictly: no tensor is missing or left.

Dimension key: B clips, s video frames of a latent, T video frames, t latents, S
samples, N vectors of sound (A of a video frame), D numbers in one (F in all
states), Y X picture, h w C latent grid and channels.
"""

import importlib
import json
import os
import pathlib
import shutil

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


def _library(name):
  try:
    return importlib.import_module(name)
  except ImportError:
    raise ImportError(f"{name} is needed: pip install {name}") from None


def _read(folder, weights):
  """(the content of config.json, {name: tensor}) of a folder."""
  for name in ("config.json", weights):
    if not (folder / name).is_file():
      raise FileNotFoundError(f"there is no {folder / name}; export it again")
  try:
    config = json.loads((folder / "config.json").read_bytes())
    return config, load_file(folder / weights)
  except Exception as error:  # the reader has no error of its own for most
    problem = " ".join(str(error).split())[:200]
    raise ValueError(f"{folder}: {problem}; export it again") from None


class _Foreign(nn.Module):
  """A network of another library, as its folder has it."""

  weights = None

  def __init__(self, folder):
    super().__init__()
    self._folder = pathlib.Path(folder)
    config, tensors = _read(self._folder, self.weights)
    try:
      self.network = self._made(config)
      self.network.load_state_dict(tensors, strict=True)
    except (RuntimeError, TypeError, ValueError) as error:
      problem = " ".join(str(error).split())[:200]
      raise ValueError(f"{folder}: {problem}; export it again") from None
    self.float().eval().requires_grad_(False)

  def save_pretrained(self, folder):
    """Copies the folder that this came from; it is not trained here."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for source in self._folder.iterdir():
      target = folder / source.name
      if source.is_file() and not (
        target.exists() and os.path.samefile(source, target)
      ):
        partial = folder / f".{source.name}.{os.getpid()}.tmp"
        shutil.copyfile(source, partial)
        os.replace(partial, target)


# --- Tokenizers


def load_tokenizer(cfg, folder, field):
  """The tokenizer in a folder.

  Args:
    cfg: ForeignTokenizerConfig.
    folder: of diffusers.
    field: (number, shape) -> fixed normal noise, for those that add some.

  Raises:
    FileNotFoundError, ImportError, ValueError: a file or the library is
      missing, or they do not belong together.
  """
  return TOKENIZERS[cfg.kind](cfg, folder, field)


class _Tokenizer(_Foreign):
  """Pictures to normalised latents and back; see `modeling_eartalk.Tokenizer`.

  Networks see pictures in [-1, 1], channels second.
  """

  weights = "diffusion_pytorch_model.safetensors"

  def __init__(self, cfg, folder, field):
    super().__init__(folder)
    self.cfg, self._field = cfg, field
    for name in ("latent_mean", "latent_std"):
      numbers_C = torch.tensor(getattr(cfg, name), dtype=torch.float32)
      self.register_buffer(name, numbers_C, persistent=False)

  def _made(self, config):
    return getattr(_library("diffusers"), self.name).from_config(config)

  def encode(self, frames_BYX3):
    """uint8 pictures, each alone -> normalised latents [B h w C]."""
    x = frames_BYX3.movedim(-1, 1).float() / 255
    raw_BChw = self._encode(2 * x - 1)
    return (raw_BChw.movedim(1, -1) - self.latent_mean) / self.latent_std

  def open(self, portrait_BhwC):
    """The decoder's state before the first step, from a portrait's latents."""
    return ()

  # Other libraries' code is not made to be compiled whole.
  @torch.compiler.disable
  def step(self, state, latents_BhwC):
    """Normalised latents -> (the state after them, frames [B s Y X 3]).

    Frames are about in [0, 1]: whoever cuts what is beyond, hides what is
    infinite.
    """
    state, frames_BCsYX = self._step(state, self._raw(latents_BhwC))
    return state, (frames_BCsYX.movedim(1, -1) + 1) / 2

  def _raw(self, latents_BhwC):
    raw_BhwC = latents_BhwC * self.latent_std + self.latent_mean
    return raw_BhwC.movedim(-1, 1)

  def _step(self, state, raw_BChw):
    return state, self.network.decode(raw_BChw).sample[:, :, None]


class KlTokenizer(_Tokenizer):
  """AutoencoderKL: a latent is a frame, and nothing is remembered."""

  name = "AutoencoderKL"

  def _encode(self, x_BCYX):
    return self.network.encode(x_BCYX).latent_dist.mode()


class DcaeTokenizer(_Tokenizer):
  """AutoencoderDC: the same."""

  name = "AutoencoderDC"

  def _encode(self, x_BCYX):
    return self.network.encode(x_BCYX).latent


class TaesdTokenizer(_Tokenizer):
  """AutoencoderTiny: the same."""

  name = "AutoencoderTiny"

  def _encode(self, x_BCYX):
    return self.network.encode(x_BCYX).latents


class WanTokenizer(_Tokenizer):
  """AutoencoderKLWan: its decoder remembers two inputs of each convolution.

  The library keeps that memory in the network, for one clip; here it is the
  state of the stream, passed in and returned.
  """

  name = "AutoencoderKLWan"

  def _encode(self, x_BCYX):
    network, x = self.network, x_BCYX[:, :, None]
    if network.config.patch_size is not None:
      x = self._patches.patchify(x, patch_size=network.config.patch_size)
    moments = network.quant_conv(network.encoder(x))[:, :, 0]
    return moments.chunk(2, dim=1)[0]

  def open(self, portrait_BhwC):
    """See `_Tokenizer`."""
    kinds = [type(part).__name__ for part in self.network.decoder.modules()]
    empty = (None,) * kinds.count("WanCausalConv3d")
    state, _ = self._decode(empty, self._raw(portrait_BhwC), first_chunk=True)
    return state

  def _step(self, state, raw_BChw):
    return self._decode(state, raw_BChw)

  @property
  def _patches(self):
    return importlib.import_module(type(self.network).__module__)

  def _decode(self, state, raw_BChw, **settings):
    network, memory = self.network, list(state)
    x = network.post_quant_conv(raw_BChw[:, :, None])
    x = network.decoder(x, feat_cache=memory, feat_idx=[0], **settings)
    if network.config.patch_size is not None:
      x = self._patches.unpatchify(x, patch_size=network.config.patch_size)
    return tuple(memory), x


class LtxTokenizer(_Tokenizer):
  """AutoencoderKLLTXVideo: its decoder looks ahead, and goes by windows.

  A step decodes `context` latents, one, and `delay` more, and shows the frames
  of the one. The state is the latents that the next window begins with: all of
  a clip that is younger than a window.
  """

  name = "AutoencoderKLLTXVideo"

  def __init__(self, cfg, folder, field):
    super().__init__(cfg, folder, field)
    # The library draws new noise each time; here it is the same for ever.
    self._noises, number = {}, 0
    decoder = self.network.decoder
    for block in (decoder.mid_block, *decoder.up_blocks):
      for residual in block.resnets:
        for half in ("1", "2"):
          scale = getattr(residual, f"per_channel_scale{half}")
          if scale is None:
            continue
          setattr(residual, f"per_channel_scale{half}", None)
          convolution = getattr(residual, f"conv{half}")
          convolution.register_buffer("scale", scale.detach(), persistent=False)
          convolution.register_forward_hook(self._noisy(number))
          number += 1

  def _noisy(self, number):
    """A hook that adds field `number` to what a convolution makes."""

    def add(convolution, _, out_BCTYX):
      shape = tuple(out_BCTYX.shape[-2:])
      if (number, shape) not in self._noises:
        self._noises[number, shape] = self._field(number, shape)
      noise = self._noises[number, shape].to(out_BCTYX.device)
      return out_BCTYX + (noise[None] * convolution.scale)[None, :, None]

    return add

  def _encode(self, x_BCYX):
    return self.network.encode(x_BCYX[:, :, None]).latent_dist.mode()[:, :, 0]

  def open(self, portrait_BhwC):
    """See `_Tokenizer`."""
    return (self._raw(portrait_BhwC)[:, :, None],)

  def _step(self, state, raw_BChw):
    cfg, network = self.cfg, self.network
    window = torch.cat([*state, raw_BChw[:, :, None]], dim=2)
    kept = window[:, :, -(cfg.context + cfg.delay) :]
    place = window.shape[2] - 1 - cfg.delay
    if place < 1:  # nothing is shown yet
      shape = len(window), 3, cfg.stride, cfg.size, cfg.size
      return (kept,), window.new_zeros(shape)
    time = None
    if network.config.timestep_conditioning:
      time = window.new_full((len(window),), cfg.timestep)
    frames_BCTYX = network.decode(window, time).sample
    stop = place * cfg.stride + 1
    return (kept,), frames_BCTYX[:, :, stop - cfg.stride : stop]


TOKENIZERS = {
  "kl": KlTokenizer,
  "wan": WanTokenizer,
  "ltx": LtxTokenizer,
  "dcae": DcaeTokenizer,
  "taesd": TaesdTokenizer,
}


# --- Speech encoders


def load_speech(cfg, folder):
  """The speech encoder in a folder; see `modeling_eartalk.Mel`.

  Args:
    cfg: Config; its `speech` is a ForeignSpeechConfig.
    folder: of transformers.

  Raises:
    FileNotFoundError, ImportError, ValueError: a file or the library is
      missing, or they do not belong together.
  """
  kind = Whisper if cfg.speech.kind == "whisper" else Wav2Vec
  return kind(cfg, folder)


class _Speech(_Foreign):
  """Windows of samples to the middle of chosen hidden states.

  Attributes: as of `modeling_eartalk.Mel`.
  """

  weights = "model.safetensors"

  def __init__(self, cfg, folder):
    speech, self._kind = cfg.speech, cfg.speech.kind
    super().__init__(folder)
    self.cfg = cfg
    self.before, self.step = speech.left * cfg.frame_samples, speech.step
    self.after = speech.right * cfg.frame_samples + speech.beyond
    self._hop = cfg.frame_samples // cfg.audio.steps
    self._check(self.network.config)
    size = self.before + self.step * cfg.frame_samples + self.after
    features_TAF = self(torch.zeros(size))
    shape = self.step, cfg.audio.steps, cfg.audio.bins
    if features_TAF.shape != shape:
      raise ValueError(
        f"{folder} makes features of {tuple(features_TAF.shape)}, and "
        f"{shape} are heard; export it again"
      )
    self.silence_AF = features_TAF[0]

  @torch.no_grad()
  def __call__(self, samples_S):
    """A window of samples, float32 -> [T A F]."""
    device = next(self.network.parameters()).device
    states = self._hidden(samples_S[None].float().to(device))
    first, frames = self.before // self._hop, self.step
    own = slice(first, first + frames * self.cfg.audio.steps)
    features_NF = torch.cat([x_1ND[0, own] for x_1ND in states], dim=-1)
    return features_NF.unflatten(0, (frames, -1)).cpu()


class Wav2Vec(_Speech):
  """wav2vec 2.0, HuBERT and WavLM."""

  _names = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}

  def _made(self, config):
    library, name = _library("transformers"), self._names[self._kind]
    config = getattr(library, f"{name}Config").from_dict(config)
    return getattr(library, f"{name}Model")(config)

  def _check(self, config):
    layers, states = config.num_hidden_layers, self.cfg.speech.states
    last = layers + config.do_stable_layer_norm
    if max(states) > last:
      raise ValueError(f"states {states} of a network that has 0 to {last}")
    old = int(_library("transformers").__version__.split(".")[0]) < 5
    if old and config.do_stable_layer_norm and layers in states:
      raise ImportError(
        f"hidden state {layers} is another one before transformers 5: "
        "pip install 'transformers>=5'"
      )

  def _hidden(self, samples_BS):
    if self.cfg.speech.normalize:
      samples_BS = samples_BS - samples_BS.mean(1, keepdim=True)
      variance_B1 = samples_BS.square().mean(1, keepdim=True)
      samples_BS = samples_BS / (variance_B1 + 1e-7).sqrt()
    out = self.network(samples_BS, output_hidden_states=True)
    states = [*out.hidden_states, out.last_hidden_state]
    return [states[number] for number in self.cfg.speech.states]


class Whisper(_Speech):
  """The encoder of Whisper; a window is filled with silence up to 30 s."""

  def _made(self, config):
    library = _library("transformers")
    of = importlib.import_module("transformers.models.whisper.modeling_whisper")
    made = of.WhisperEncoder(library.WhisperConfig.from_dict(config))
    filters = _library("transformers.audio_utils").mel_filter_bank(
      num_frequency_bins=201,
      num_mel_filters=made.config.num_mel_bins,
      min_frequency=0.0,
      max_frequency=8000.0,
      sampling_rate=16_000,
      norm="slaney",
      mel_scale="slaney",
    )
    self.register_buffer("_filters", torch.from_numpy(filters).float(), False)
    hann = torch.hann_window(400, dtype=torch.float64).float()
    self.register_buffer("_hann", hann, persistent=False)
    return made

  def _check(self, config):
    states = self.cfg.speech.states
    if max(states) > config.encoder_layers:
      raise ValueError(f"states {states} of {config.encoder_layers} layers")

  def _hidden(self, samples_BS):
    size = self.network.config.max_source_positions * 320
    samples_BS = F.pad(samples_BS, (0, size - samples_BS.shape[1]))
    samples_BS = F.pad(samples_BS[:, None], (200, 200), mode="reflect")[:, 0]
    windows = samples_BS.unfold(1, 400, 160)[:, : size // 160] * self._hann
    power = torch.fft.rfft(windows).abs().square()
    log = (power @ self._filters).clamp(min=1e-10).log10()
    log = log.maximum(log.amax(dim=(1, 2), keepdim=True) - 8)
    mel_BFM = ((log + 4) / 4).transpose(1, 2)
    out = self.network(mel_BFM, output_hidden_states=True)
    return [out.hidden_states[number] for number in self.cfg.speech.states]
