"""The kinds `wav2vec2`, `hubert` and `wavlm`: one network, three trainings.

  samples   to mean 0 and variance 1, over the window (do_normalize)
  front     7 convolutions: 50 vectors a second, each of 400 samples
  layers    of a transformer, in which every vector of the window sees all

Dimension key: B windows, S samples, N vectors, D width.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import by_name, kernel, same
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.importing.settings import defaults, settings
from eartalk_jax.speech import pretrained
from eartalk_jax.speech.pretrained import SILENCE, WINDOW, Pretrained
from eartalk_jax.speech.wav2vec.config import Config
from eartalk_jax.speech.wav2vec.network import Network

_NORMALIZED_EPSILON = 1e-7
# The positional convolution's lengths and directions, as files name them since
# PyTorch 2.1 and before, and our parameters.
_POSITIONAL = "encoder.pos_conv_embed.conv."
_WEIGHT_NORM = {
  "parametrizations.weight.original0": "weight_g",
  "parametrizations.weight.original1": "weight_v",
}
# Tensors of the tasks that such networks were trained for.
_UNUSED = (
  r"masked_spec_embed|layer_weights",
  r"(quantizer|project_q|project_hid|lm_head|projector|classifier|tdnn)\..*",
)
_BUCKETS = {"num_buckets": 320, "max_bucket_distance": 800}
_FIXED = {
  "hidden_act": ["gelu"],
  "feat_extract_activation": ["gelu"],
  "add_adapter": [False],
  "adapter_attn_dim": [None],
  "feat_proj_layer_norm": [True],
  "conv_pos_batch_norm": [False],
}
_IGNORED = (
  *pretrained.IGNORED,
  *("hidden_dropout", "hidden_dropout_prob", "feat_extract_dropout"),
  *("feat_proj_dropout", "feat_quantizer_dropout", "final_dropout"),
  *("layerdrop", "initializer_range", "num_feat_extract_layers"),
  *("freeze_feat_extract_train", "replace_prob", "num_ctc_classes"),
  *("mask_time_selection", "mask_time_other", "mask_time_min_space"),
  *("no_mask_time_overlap", "no_mask_channel_overlap"),
  *("mask_channel_prob", "mask_channel_length", "mask_channel_selection"),
  *("mask_channel_other", "mask_channel_min_space"),
  *("num_codevectors_per_group", "num_codevector_groups", "codevector_dim"),
  *("proj_codevector_dim", "contrastive_logits_temperature", "num_negatives"),
  *("diversity_loss_weight", "ctc_loss_reduction", "ctc_zero_infinity"),
  *("tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim"),
  *("adapter_kernel_size", "adapter_stride", "num_adapter_layers"),
  "output_hidden_size",
)


class Wav2Vec(Pretrained):
  """The Speech; see the package `speech`."""

  @property
  def width(self):
    """D."""
    return self.config.hidden_size

  @property
  def beyond(self):
    """See `Pretrained`: 80 samples, without which a vector would lack."""
    return self.config.beyond

  def hidden(self, tree, samples_BS):
    """See `Pretrained`."""
    if self.config.do_normalize:
      samples_BS = samples_BS - samples_BS.mean(1, keepdims=True)
      variance_B1 = jnp.square(samples_BS).mean(1, keepdims=True)
      samples_BS = samples_BS / jnp.sqrt(variance_B1 + _NORMALIZED_EPSILON)
    return Network(self.config).apply({"params": tree}, samples_BS)


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
  """The SpeechKind of each name; see the package `speech`.

  Attributes:
    kind: name, as transformers call it in `model_type`.
    PUBLISHED: {name: Config}.
  """

  kind: str
  PUBLISHED: dict[str, Any]

  Config = Config

  def load(self, config, arrays):
    """See `SpeechKind`."""
    return pretrained.load(self, config, arrays)

  def abstract(self, config):
    """See `SpeechKind`."""
    if bool(config.num_buckets) != (self.kind == "wavlm"):
      raise UserError(
        f"config: {self.kind} with num_buckets {config.num_buckets}; wavlm "
        "alone has such, 4 at least"
      )
    frames = pretrained.HOP * pretrained.VECTORS * config.frames
    return pretrained.abstract(
      Wav2Vec, self.kind, config, Network(config), (1, frames + config.beyond)
    )

  def recognises(self, source):
    """See `SpeechKind`; without a config.json by the names of tensors."""
    if "model_type" in source.config:
      return source.config["model_type"] == self.kind
    return self.kind == _guessed(source.names)

  def rules(self, config):
    """{path of a parameter: Rule}."""
    shapes = {k: v.shape for k, v in self.abstract(config).params.items()}
    del shapes[SILENCE]
    gain, direction = (_POSITIONAL + name for name in _WEIGHT_NORM)
    place = "encoder/pos_conv_embed/"
    return by_name(shapes) | {
      place + "gain": same(gain),
      place + "direction": kernel(direction),
      place + "bias": same(_POSITIONAL + "bias"),
    }

  def imported(self, source, window, states):
    """See `SpeechKind`.

    `preprocessor_config.json` says whether windows are normalised; they are
    where there is none.

    Raises:
      UserError: it is another network, or not whole.
    """
    ours = "left", "step", "right", "states", "do_normalize"
    free = defaults(Config, ours)
    if self.kind == "wavlm":
      free |= _BUCKETS
    else:
      del free["num_buckets"], free["max_bucket_distance"]
    fixed = _FIXED | {"model_type": [self.kind]}
    said = settings(source, free, fixed, _IGNORED)
    pretrained.check_rate(source)
    key = "do_normalize"
    said[key] = pretrained.processed(source, key, True, [True, False])
    config = pretrained.described(Config, window, states, said)
    source = pretrained.without(source, f"{self.kind}.")
    return pretrained.filled(self, config, _of_now(source), _UNUSED)

  def foreign(self, speech):
    """See `SpeechKind`: what the Model of this kind in transformers loads."""
    described = dataclasses.asdict(speech.config)
    for name in ("left", "step", "right", "states", "do_normalize"):
      del described[name]
    if self.kind != "wavlm":
      del described["num_buckets"], described["max_bucket_distance"]
    described |= {
      "model_type": self.kind,
      # With these the model has no vector that stands for what is masked.
      "apply_spec_augment": False,
      "mask_time_prob": 0.0,
      "mask_feature_prob": 0.0,
    }
    return described, to_foreign(speech.params, self.rules(speech.config))


def _of_now(source):
  """The same with the positional convolution's names of today."""
  now = {
    _POSITIONAL + old: _POSITIONAL + new for new, old in _WEIGHT_NORM.items()
  }
  return source.renamed({name: now.get(name, name) for name in source.names})


def _guessed(names):
  """The kind that has such tensors, or None."""
  if not any("feature_extractor.conv_layers.0.conv" in name for name in names):
    return None
  if any(name.endswith("rel_attn_embed.weight") for name in names):
    return "wavlm"
  hubert = any(name.startswith("hubert.") for name in names)
  return "hubert" if hubert else "wav2vec2"


# The last hidden state each, of hubert-large the one after the final norm.
WAV2VEC2 = Family("wav2vec2", {"wav2vec2-base-960h": Config(*WINDOW, (12,))})
HUBERT = Family(
  "hubert",
  {
    "hubert-base-ls960": Config(*WINDOW, (12,)),
    "hubert-large-ls960-ft": Config(
      *WINDOW,
      (25,),
      hidden_size=1024,
      num_hidden_layers=24,
      num_attention_heads=16,
      intermediate_size=4096,
      conv_bias=True,
      feat_extract_norm="layer",
      do_stable_layer_norm=True,
    ),
  },
)
WAVLM = Family("wavlm", {"wavlm-base-plus": Config(*WINDOW, (12,), **_BUCKETS)})
