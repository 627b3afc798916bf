"""Encoders as their own libraries run them, to compare with.

They take and give what ours do: pictures in [0, 1] with channels last, latents
normalised by what the original's files say.

Dimension key: B clips or sounds, T frames, t latents, S samples, N vectors, Y X
picture, h w latent grid, C channels, D width.
"""

import contextlib
import importlib
import importlib.util
import itertools
import json
import pathlib
import tempfile

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.spans import SAMPLE_RATE

_TOKENIZERS = {
  "kl": "AutoencoderKL",
  "wan": "AutoencoderKLWan",
  "ltx": "AutoencoderKLLTXVideo",
  "dcae": "AutoencoderDC",
  "taesd": "AutoencoderTiny",
}
# Of these, those that see frames together.
VIDEO = "wan", "ltx"
_SPEECH = {
  "wav2vec2": "Wav2Vec2Model",
  "hubert": "HubertModel",
  "wavlm": "WavLMModel",
  "whisper": "WhisperModel",
}


def comparable():
  """Kinds whose original can be run."""
  return [*_TOKENIZERS, *_SPEECH]


def original_tokenizer(kind, path, config):
  """diffusers' model of a folder or file, float32.

  Args:
    kind: of the tokenizer.
    path: what was imported.
    config: config.json for a single file that has none beside it.

  Raises:
    UserError: the library is missing or cannot load it.
  """
  cls = getattr(_library("diffusers"), _TOKENIZERS[kind])
  with _loading(path):
    if pathlib.Path(path).is_dir():
      model = cls.from_pretrained(
        path, local_files_only=True, low_cpu_mem_usage=False
      )
    else:
      with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        model = cls.from_single_file(
          str(path), config=folder, local_files_only=True
        )
  return OriginalTokenizer(kind, model.eval().float())


def original_speech(kind, path):
  """transformers' encoder of a folder, float32.

  Raises:
    UserError: the library is missing or cannot load it.
  """
  transformers = _library("transformers")
  folder = pathlib.Path(path)
  folder = folder if folder.is_dir() else folder.parent
  with _loading(path):
    model = getattr(transformers, _SPEECH[kind]).from_pretrained(
      folder, local_files_only=True
    )
    extractor = _extractor(transformers, kind, folder, model.config)
  model = model.encoder if kind == "whisper" else model
  return OriginalSpeech(kind, model.eval().float(), extractor)


def _extractor(transformers, kind, folder, config):
  """What prepares sounds: of the folder, or the library's usual one."""
  if kind != "whisper":
    if (folder / "preprocessor_config.json").is_file():
      return transformers.AutoFeatureExtractor.from_pretrained(folder)
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
  seconds = config.max_source_positions * 320 / SAMPLE_RATE
  if seconds != int(seconds):
    raise UserError("Whisper's windows are whole seconds in its own library")
  return transformers.WhisperFeatureExtractor(
    feature_size=config.num_mel_bins, chunk_length=int(seconds)
  )


def _library(name):
  for needed in (name, "torch"):
    if importlib.util.find_spec(needed) is None:
      raise UserError(
        f"{needed} is needed to compare: pip install 'eartalk-jax[verify]'"
      )
  return importlib.import_module(name)


@contextlib.contextmanager
def _loading(path):
  try:
    yield
  except Exception as error:  # whatever a foreign library raises
    said = str(error).strip().splitlines() or [""]
    raise UserError(
      f"{path}: its own library does not load it "
      f"({type(error).__name__}: {said[0][:300]})"
    ) from None


class OriginalTokenizer:
  """A model of diffusers behind our conventions."""

  def __init__(self, kind, model):
    self._kind, self._model = kind, model

  def encode(self, frames_BTYX3):
    """Frames in [0, 1] -> normalised latents [B t h w C]."""
    import torch

    with torch.no_grad():
      x = _to_torch(2 * frames_BTYX3 - 1)
      if self._kind in VIDEO:
        raw = self._model.encode(x).latent_dist.mode()
      else:
        raw = _by_picture(self._encode_pictures, x)
      mean, std = self._statistics()
      return _from_torch((raw - mean) / std)

  def decode(self, latents_BthwC, timestep=None):
    """Normalised latents -> frames, about in [0, 1], [B T Y X 3].

    Args:
      latents_BthwC: of clips.
      timestep: that an LTX decoder is told, where it is told one. Its noise is
        that of ours: the original draws other numbers at each call.
    """
    import torch

    with torch.no_grad():
      mean, std = self._statistics()
      raw = _to_torch(latents_BthwC) * std + mean
      if self._kind in VIDEO:
        told = {}
        if getattr(self._model.config, "timestep_conditioning", False):
          told = {"temb": torch.full((len(raw),), timestep)}
        with _fields_of_noise():
          frames = self._model.decode(raw, **told).sample
      else:
        frames = _by_picture(lambda x: self._model.decode(x).sample, raw)
      return _from_torch((frames + 1) / 2)

  def _encode_pictures(self, x):
    encoded = self._model.encode(x)
    if self._kind == "kl":
      return encoded.latent_dist.mode()
    return encoded.latent if self._kind == "dcae" else encoded.latents

  def _statistics(self):
    """(mean, deviation) of the channels, as the original's files say them."""
    config, model = self._model.config, self._model
    scale = getattr(config, "scaling_factor", None) or 1.0
    mean = getattr(config, "shift_factor", None) or 0.0
    std = 1 / scale
    if self._kind == "taesd":
      mean, std = 0.0, 1.0
    elif self._kind == "ltx":
      mean, std = model.latents_mean, model.latents_std / scale
    elif getattr(config, "latents_mean", None) is not None:
      mean, std = config.latents_mean, np.array(config.latents_std)
      std = std if self._kind == "wan" else std / scale
    return _of_channels(mean), _of_channels(std)


@contextlib.contextmanager
def _fields_of_noise():
  """Whatever is drawn becomes our fields, which come in the same order."""
  import torch

  from eartalk_jax.tokenizers.ltx.decoder import field

  numbers, drawn = itertools.count(), torch.randn

  def ours(shape, **kwargs):
    del kwargs
    return torch.from_numpy(np.array(field(next(numbers), *shape)[..., 0]))

  torch.randn = ours
  try:
    yield
  finally:
    torch.randn = drawn


def _of_channels(numbers):
  import torch

  return torch.as_tensor(numbers, dtype=torch.float32).reshape(1, -1, 1, 1, 1)


def _by_picture(function, x):
  """[B C T Y X] through a function of pictures."""
  import torch

  return torch.stack([function(x[:, :, t]) for t in range(x.shape[2])], 2)


def _to_torch(x_BTYXC):
  import torch

  array = np.moveaxis(np.asarray(x_BTYXC, np.float32), -1, 1)
  return torch.from_numpy(np.ascontiguousarray(array))


def _from_torch(x):
  return np.moveaxis(x.float().numpy(), 1, -1)


class OriginalSpeech:
  """An encoder of transformers: windows of sound to hidden states."""

  def __init__(self, kind, model, extractor):
    self._kind, self._model, self._extractor = kind, model, extractor

  def states(self, samples_BS):
    """All hidden states of sounds of one length, each [B N D].

    They are numbered as ours: the last one of a network that ends with a norm
    comes after it, and so does the one before, which is before it, if the
    network's layers begin with norms.
    """
    import torch

    inputs = self._extractor(
      list(np.asarray(samples_BS, np.float32)),
      sampling_rate=SAMPLE_RATE,
      return_tensors="pt",
    )
    values = inputs.get("input_values", inputs.get("input_features"))
    with torch.no_grad():
      found = self._model(values, output_hidden_states=True)
    states = list(found.hidden_states)
    if getattr(self._model.config, "do_stable_layer_norm", False):
      states.append(found.last_hidden_state)
    return [state.numpy() for state in states]
