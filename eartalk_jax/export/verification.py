"""Whether an exported folder is the checkpoint that it says it is.

What is compared, and what is asked of it:

  config       every number of config.json: equal
  weights      every tensor: equal bits
  layers       what each module says, teacher-forced: 1e-5 relative to scale
  encoders     those of other libraries, step by step: 1e-4 relative to scale
  streams      latents with equal seeds, in five scenarios, without and with
               guidance, through many wraps: 1e-5 in the first frame, 1e-3 later
  pixels       after decoding: 1 of 255
"""

import dataclasses
import pathlib

import ml_dtypes
import numpy as np
from flax import traverse_util

from eartalk_jax.checkpoints.checkpoint_files import choose_checkpoint
from eartalk_jax.checkpoints.checkpoint_reading import open_arrays
from eartalk_jax.checkpoints.parts import load_speech_of
from eartalk_jax.checkpoints.resumption import read_run
from eartalk_jax.config import describe, differences, from_config
from eartalk_jax.errors import UserError
from eartalk_jax.export import description
from eartalk_jax.export.activations import compare_layers
from eartalk_jax.export.encoders import compare_encoders, compare_foreign
from eartalk_jax.export.exporting import (
  ITEMS,
  split,
  tokenizer_tensors,
)
from eartalk_jax.export.folders import load_module, open_tensors, read_config
from eartalk_jax.export.scenarios import NAMES, make_inputs
from eartalk_jax.export.stream_pairs import compare_streams
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.talker import Talker
from eartalk_jax.tokenizers.storing import load_tokenizer

LAYERS, FIRST_FRAME, LATER_FRAMES, LEVELS = 1e-5, 1e-5, 1e-3, 1
ENCODERS = 1e-4
# Rings of the cache that a comparison goes through at least.
_WRAPS = 4
# What a changed modeling_eartalk.py may raise.
_THEIRS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError)


def verify(workdir, folder, frames=250):
  """Compares a folder with the checkpoint of a run.

  Args:
    workdir: of the run.
    folder: of python -m launch.export_torch.
    frames: of the streams; more if the window asks for it.

  Returns:
    The figures, as a dictionary for JSON; "failures" says what is wrong.

  Raises:
    UserError: one of them cannot be read at all.
  """
  workdir, folder = pathlib.Path(workdir), pathlib.Path(folder)
  config, run = read_config(folder), read_run(workdir)
  source = _source(workdir, folder, config)
  cfg, encoders = _described(workdir, run)
  failures = _compare_config(config, run, cfg, encoders)
  # The products of both sides in the same precision.
  cfg = dataclasses.replace(cfg, dtype="float32", remat=False)
  arrays = dict(open_arrays(source, *ITEMS[config["weights"]])[1])
  failures += _compare_weights(folder, arrays, cfg.depth, config["dtype"])
  if encoders[0].kind == "patches":
    failures += _compare_weights(
      folder / "tokenizer", tokenizer_tensors(encoders[0]), 0, "float32"
    )
  failures += compare_foreign(folder, encoders)
  module = load_module(folder)
  try:
    talker = module.EARTalking.from_pretrained(folder, module.torch.float32)
  except Exception as error:  # its file may be anybody's
    return {"failures": [*failures, f"it cannot be loaded: {error}"]}
  if config["dtype"] == "bfloat16":
    arrays = {path: _rounded(array) for path, array in arrays.items()}
  params = traverse_util.unflatten_dict(arrays, sep="/")
  ours = Talker(cfg), params, encoders
  try:
    figures = _measure(*ours, (module, talker), frames)
  except _THEIRS as error:  # shapes that do not fit, parts that are missing
    return {"failures": [*failures, f"it does not run: {error}"]}
  return figures | {"failures": failures + _judge(figures)}


def compare_config(workdir, folder):
  """One phrase for each number in config.json that is not the checkpoint's.

  Raises:
    UserError: there is no such file, or no such checkpoint.
  """
  config, run = read_config(folder), read_run(workdir)
  _source(workdir, folder, config)
  return _compare_config(config, run, *_described(workdir, run))


def _compare_config(config, run, cfg, encoders):
  wanted = description.describe_model(
    cfg,
    run["categories"],
    encoders,
    config["weights"],
    config["trained_steps"],  # there is such a checkpoint
    config["dtype"],
  )
  return [
    f"config.json: {describe([change])} (first the checkpoint's)"
    for change in differences(wanted, config)
  ]


def _described(workdir, run):
  """(TalkerConfig, (Tokenizer, Speech)) of a run."""
  cfg = from_config(TalkerConfig, run["model"])
  tokenizer = load_tokenizer(workdir / "tokenizer")
  return cfg, (tokenizer, load_speech_of(workdir, run, cfg.audio))


def _source(workdir, folder, config):
  """The checkpoint that the folder was made from."""
  step = config["trained_steps"]
  try:
    return choose_checkpoint(workdir, step)
  except UserError as error:
    raise UserError(f"{folder}/config.json: trained_steps: {error}") from None


def _rounded(array):
  return np.asarray(array, ml_dtypes.bfloat16).astype(np.float32)


def _compare_weights(folder, arrays, depth, dtype):
  """One phrase for each tensor that is not the checkpoint's."""
  wrong = []
  kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
  with open_tensors(folder) as (shapes, get):
    left = set(shapes)
    for name, array in split(arrays.items(), depth):
      left.discard(name)
      if name not in shapes:
        wrong.append(f"{folder}: there is no tensor {name}")
      elif shapes[name] != array.shape:
        wrong.append(
          f"{folder}: {name} has shape {shapes[name]}, not {array.shape}"
        )
      elif not np.array_equal(get(name), array.astype(kind)):
        wrong.append(f"{folder}: {name} is not the checkpoint's")
  return wrong + [f"{folder}: nobody knows a tensor {name}" for name in left]


def _measure(model, params, encoders, exported, frames):
  stride = model.cfg.stride
  steps = max(-(-frames // stride), _WRAPS * model.cfg.window)
  frames = steps * stride
  layers = compare_layers(model, params, encoders[0], exported[1])
  parts = compare_encoders(encoders, exported[1])
  inputs = make_inputs(model.cfg, encoders[0].picture_shape[0], steps)
  guided = {"audio": 1.5} | {c.name: 2.0 for c in model.cfg.controls[:1]}
  plain, steered = (
    compare_streams(model, params, encoders, exported, inputs, guidance)
    for guidance in ({}, guided)
  )
  latents_TB = np.concatenate([plain["latents_TB"], steered["latents_TB"]], 1)
  levels_TB = np.concatenate([plain["levels_TB"], steered["levels_TB"]], 1)
  names = [*NAMES, *(f"{name}, guided" for name in NAMES)]
  return {
    "layer_max_rel": max(layers.values()),
    "encoder_max_rel": max(parts.values(), default=None),
    "first_frame_max_abs": float(latents_TB[0].max()),
    "frame_250_max_abs": (
      float(latents_TB[249 // stride].max()) if frames >= 250 else None
    ),
    "all_frames_max_abs": float(latents_TB.max()),
    "pixels_max_levels": int(levels_TB.max()),
    "audio_features_max_abs": plain["audio"],
    "frames": frames,
    "wraps": steps // model.cfg.window,
    "layers": layers | parts,
    "scenarios": {
      name: {
        "first_frame_max_abs": float(latents_T[0]),
        "last_frame_max_abs": float(latents_T[-1]),
        "all_frames_max_abs": float(latents_T.max()),
      }
      for name, latents_T in zip(names, latents_TB.T, strict=True)
    },
  }


def _judge(figures):
  asked = {
    "layer_max_rel": LAYERS,
    "encoder_max_rel": ENCODERS,
    "first_frame_max_abs": FIRST_FRAME,
    "all_frames_max_abs": LATER_FRAMES,
    "pixels_max_levels": LEVELS,
  }
  return [
    f"{name} is {figures[name]:.3g}; at most {limit:g} is asked"
    for name, limit in asked.items()
    # None is of no such part; NaN fails, too.
    if figures[name] is not None and not figures[name] <= limit
  ]
