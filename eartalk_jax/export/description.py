"""config.json of an exported folder: every number the forward pass needs.

Nothing is typed twice: each comes from the configuration, or from the module
that computes with it.
"""

import numpy as np

from eartalk_jax.attention import positions
from eartalk_jax.config import to_dict
from eartalk_jax.controls.known import track_of
from eartalk_jax.denoising import ddpm, flow
from eartalk_jax.heads import masked
from eartalk_jax.layers import basic as layers
from eartalk_jax.models import hearing, talker
from eartalk_jax.spans import FPS, SAMPLE_RATE
from eartalk_jax.speech import mel

FORMAT_VERSION = 2
MODEL_TYPE = "eartalking"
ACTIVATION = "gelu_tanh"  # flax's nn.gelu
# What only a JAX program asks for.
_OF_JAX = ("dtype", "remat", "unroll")


def describe_model(cfg, categories, encoders, weights, step, dtype):
  """The configuration of an exported talker.

  Args:
    cfg: TalkerConfig.
    categories: {categorical control: [names of its classes]}.
    encoders: (Tokenizer, Speech).
    weights: "ema" or "raw".
    step: how long it was trained.
    dtype: of the stored weights.
  """
  model = {k: v for k, v in to_dict(cfg).items() if k not in _OF_JAX}
  tokenizer, speech = encoders
  return model | {
    "architectures": ["EARTalking"],
    "model_type": MODEL_TYPE,
    "format_version": FORMAT_VERSION,
    "dtype": dtype,
    "weights": weights,
    "trained_steps": step,
    "rotary_base": positions.ROTARY_BASE,
    "sink_distance": abs(positions.of_sink(cfg.positions, cfg.window)),
    "norm_eps": layers.NORM_EPSILON,
    "activation": ACTIVATION,
    "mlp_ratio": layers.MLP_RATIO,
    "patterns": talker.PATTERNS,
    "sinusoid_top_rate": layers.TOP_RATE,
    "fps": FPS,
    "noise": "threefry2x32",
    "audio": _describe_audio(cfg.audio),
    "speech": describe_speech(speech),
    "controls": [_describe_control(c, categories) for c in cfg.controls],
    "head": _describe_head(cfg.head),
    "tokenizer": describe_tokenizer(tokenizer),
  }


def describe_tokenizer(tokenizer):
  """The configuration of an exported tokenizer, always in float32."""
  if tokenizer.kind != "patches":
    own = {}
    if tokenizer.kind == "ltx":
      config = tokenizer.config
      own = {"context": config.context, "timestep": config.decode_timestep}
    return own | {
      "kind": tokenizer.kind,
      "size": tokenizer.picture_shape[0],
      "latent_shape": list(tokenizer.latent_shape),
      "stride": tokenizer.stride,
      "delay": tokenizer.delay,
      "latent_mean": np.asarray(tokenizer.mean_C, float).tolist(),
      "latent_std": np.asarray(tokenizer.std_C, float).tolist(),
    }
  return to_dict(tokenizer.config) | {
    "kind": tokenizer.kind,
    "model_type": f"{MODEL_TYPE}_tokenizer",
    "format_version": FORMAT_VERSION,
    "dtype": "float32",
    "norm_eps": layers.NORM_EPSILON,
    "activation": ACTIVATION,
    "mlp_ratio": layers.MLP_RATIO,
    "latent_mean": np.asarray(tokenizer.mean_C, float).tolist(),
    "latent_std": float(tokenizer.std),
  }


def _describe_audio(config):
  return to_dict(config) | {
    "sample_rate": SAMPLE_RATE,
    "level_eps": hearing.LEVEL_EPSILON,
    "convolutions": hearing.CONVOLUTIONS,
    "taps": hearing.TAPS,
  }


def describe_speech(speech):
  """The configuration of an exported speech encoder."""
  if speech.kind != "mel":
    config = speech.config
    return {
      "kind": speech.kind,
      "left": config.left,
      "step": config.step,
      "right": config.right,
      "beyond": speech.beyond,
      "states": list(config.states),
      "normalize": getattr(config, "do_normalize", False),
    }
  return {
    "kind": speech.kind,
    "hop": mel.HOP,
    "n_fft": mel.N_FFT,
    "floor": mel.FLOOR,
    "mean": mel.MEAN,
    "scale": mel.SCALE,
  }


def _describe_control(control, categories):
  low, high = track_of(control.name).range
  return to_dict(control) | {
    "low": low,
    "high": high,
    "categories": list(categories.get(control.name, [])),
  }


def _describe_head(head):
  described = to_dict(head) | {"smallest_rest": flow.SMALLEST_REST}
  if head.kind == "masked":
    described |= {
      "hidden_spread": masked.HIDDEN_SPREAD,
      "hidden_least": masked.HIDDEN_LEAST,
      "first_time": ddpm.FIRST_TIME,
    }
  return described
