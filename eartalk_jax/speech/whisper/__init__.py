"""The kind `whisper`: the encoder of a network that was trained to transcribe.

A window is filled with silence up to the 30 seconds that the network always
hears, so it costs the same however short it is; the loudest place of the window
sets the floor of what is told apart.

Dimension key: B windows, S samples, N vectors, D width.
"""

import dataclasses
import functools
import sys

from eartalk_jax.importing.filling import by_name, same
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.speech import pretrained
from eartalk_jax.speech.pretrained import SILENCE, WINDOW, Pretrained
from eartalk_jax.speech.whisper import spectrogram
from eartalk_jax.speech.whisper.network import Config, Network
from eartalk_jax.speech.whisper.spectrogram import log_mel

_KIND = sys.modules[__name__]
_NAME = "whisper"
# Tensors of the decoder, and of the tasks of fine-tuned encoders.
_UNUSED = (
  r"(model\.)?decoder\..*|layer_weights",
  r"(proj_out|projector|classifier)\..*",
)
_IGNORED = (
  *pretrained.IGNORED,
  *("dropout", "encoder_layerdrop", "init_std", "num_hidden_layers"),
  *("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"),
  *("decoder_layerdrop", "decoder_start_token_id", "max_target_positions"),
  *("suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids"),
  *("max_length", "median_filter_width"),
  "scale_embedding",  # of the decoder: the encoder has none
)


class Whisper(Pretrained):
  """The Speech; see the package `speech`."""

  beyond = 0  # what is after the window is silence to the network

  @property
  def width(self):
    """D."""
    return self.config.d_model

  def hidden(self, tree, samples_BS):
    """See `Pretrained`."""
    c = self.config
    mel_BMF = log_mel(samples_BS, c.num_mel_bins, 2 * c.max_source_positions)
    return Network(c).apply({"params": tree}, mel_BMF)


def abstract(config):
  """See `SpeechKind`."""
  shape = 1, 2 * config.max_source_positions, config.num_mel_bins
  return pretrained.abstract(Whisper, _NAME, config, Network(config), shape)


load = functools.partial(pretrained.load, _KIND)


def recognises(source):
  """See `SpeechKind`."""
  if "model_type" in source.config:
    return source.config["model_type"] == _NAME
  return any(
    name.endswith("encoder.embed_positions.weight") for name in source.names
  )


def rules(config):
  """{path of a parameter: Rule}."""
  shapes = {k: v.shape for k, v in abstract(config).params.items()}
  del shapes[SILENCE]
  return by_name(shapes) | {"positions": same("embed_positions.weight")}


def imported(source, window, states):
  """See `SpeechKind`.

  Raises:
    UserError: it is another network, or not whole.
  """
  free = defaults(Config, ("left", "step", "right", "states"))
  fixed = {"activation_function": ["gelu"], "model_type": [_NAME]}
  said = settings(source, free, fixed, _IGNORED)
  pretrained.check_rate(source)
  for key, value in (
    ("do_normalize", False),
    ("n_fft", spectrogram.N_FFT),
    ("hop_length", spectrogram.HOP),
    ("dither", 0.0),
  ):
    pretrained.processed(source, key, value, [value])
  config = pretrained.described(Config, window, states, said)
  source = pretrained.without(source, "model.encoder.", "encoder.")
  return pretrained.filled(_KIND, config, source, _UNUSED)


def foreign(speech):
  """See `SpeechKind`: what WhisperEncoder of transformers loads."""
  described = dataclasses.asdict(speech.config)
  for name in ("left", "step", "right", "states"):
    del described[name]
  described["model_type"] = _NAME
  return described, to_foreign(speech.params, rules(speech.config))


# The last hidden state each, after the final norm.
PUBLISHED = {
  "whisper-tiny": Config(*WINDOW, (4,)),
  "whisper-base": Config(
    *WINDOW,
    (6,),
    d_model=512,
    encoder_layers=6,
    encoder_attention_heads=8,
    encoder_ffn_dim=2048,
  ),
  "whisper-small": Config(
    *WINDOW,
    (12,),
    d_model=768,
    encoder_layers=12,
    encoder_attention_heads=12,
    encoder_ffn_dim=3072,
  ),
}
