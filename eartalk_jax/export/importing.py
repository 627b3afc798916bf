"""From a folder of PyTorch, fine-tuned perhaps, back to a checkpoint.

What comes out is a work directory like that of a run, but its checkpoint has
no moments: a run of one's own begins from it (`run.start_from`).
"""

import json
import math
import pathlib

import numpy as np
from flax import traverse_util
from orbax.checkpoint import v1 as ocp

from eartalk_jax.checkpoints.checkpoint_files import checkpoints_of
from eartalk_jax.checkpoints.checkpoint_reading import CONTEXT
from eartalk_jax.checkpoints.manifest import write_manifest
from eartalk_jax.config import (
  describe,
  differences,
  flatten,
  from_config,
  to_dict,
)
from eartalk_jax.errors import UserError
from eartalk_jax.export import names
from eartalk_jax.export.description import FORMAT_VERSION, describe_model
from eartalk_jax.export.encoders import read_back
from eartalk_jax.export.exporting import (
  parameter_shapes,
  tokenizer_shapes,
  torch_shapes,
)
from eartalk_jax.export.folders import (
  check_new,
  open_tensors,
  read_config,
  read_json,
)
from eartalk_jax.files import making_folder, write_json
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.speech import open_speech, save_speech
from eartalk_jax.tokenizers.autoencoder import TokenizerConfig
from eartalk_jax.tokenizers.patches import PatchTokenizer
from eartalk_jax.tokenizers.storing import save_tokenizer


def import_folder(folder, out):
  """Writes a work directory with the weights of a folder.

  Args:
    folder: as `exporting.export_folder` wrote it, or `save_pretrained`.
    out: the work directory to make.

  Returns:
    The number of the checkpoint in it.

  Raises:
    UserError: a file is missing or damaged, the folder asks for something that
      the model here does not do, or `out` is there.
  """
  folder, out = pathlib.Path(folder), pathlib.Path(out)
  check_new(out)
  config = read_config(folder)
  training = read_json(folder, "training.json")
  try:
    config, training = _of_now(config, training)
    cfg = _talker_config(config, training["run"]["model"])
    described = [dict(training[what]) for what in ("tokenizer", "speech")]
    kinds = [(part["kind"], dict(part["config"])) for part in described]
    own = kinds[0][0] == "patches"
    if own:
      like = from_config(TokenizerConfig, kinds[0][1])
      statistics = _statistics(config["tokenizer"], like.channels)
    prints = dict(training["run"]["fingerprints"])
    run = training["run"] | {"categories": _categories(config)}
  except KeyError as error:
    raise UserError(
      f"{folder}: config.json or training.json has no {error}; export it again"
    ) from None
  except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
    raise UserError(
      f"{folder}: config.json or training.json is damaged ({error}); export it "
      "again"
    ) from None
  _check_sizes(folder, cfg)
  if own:
    tokenizer = _tokenizer(folder / "tokenizer", like, statistics)
  else:
    tokenizer = read_back(folder, "tokenizer", *kinds[0])
  if kinds[1][0] == "mel":
    speech = open_speech(f"mel:{cfg.audio.bins}")
  else:
    speech = read_back(folder, "speech", *kinds[1])
  _check_config(folder, config, cfg, (tokenizer, speech))
  params = _read_params(folder, parameter_shapes(cfg), cfg.depth)
  run |= {
    "model": to_dict(cfg),
    "fingerprints": prints
    | {"tokenizer": tokenizer.fingerprint, "speech": speech.fingerprint},
  }
  with making_folder(out) as partial:
    write_json(partial / "config.json", run)
    save_tokenizer(partial / "tokenizer", tokenizer)
    save_speech(partial / "speech", speech)
    step = str(config["trained_steps"])
    _save(checkpoints_of(partial) / step, params, cfg, tokenizer)
  return config["trained_steps"]


def _of_now(config, training):
  """Both as they are today.

  Folders of version 1 are all of stride 1, our own tokenizer and log-mel.
  """
  if config.get("format_version") != 1:
    return config, training
  audio = dict(config["audio"]) | {"states": 1}
  mel = ("hop", "n_fft", "floor", "mean", "scale")
  version = {"format_version": FORMAT_VERSION}
  config = config | version
  config |= {
    "stride": 1,
    "speech": {"kind": "mel"} | {name: audio.pop(name) for name in mel},
    "audio": audio,
    "tokenizer": config["tokenizer"] | version | {"kind": "patches"},
  }
  training = training | {
    "tokenizer": {"kind": "patches", "config": training["tokenizer"]},
    "speech": {"kind": "mel", "config": {"bins": audio["bins"]}},
  }
  return config, training


def _statistics(config, channels):
  """(mean_C, std) of the latents."""
  mean_C = np.asarray(config["latent_mean"], np.float32)
  std = np.float32(config["latent_std"])
  if mean_C.shape != (channels,) or np.shape(std) or not 0 < std < np.inf:
    raise ValueError("latent_mean or latent_std")
  return mean_C, std


def _check_sizes(folder, config):
  """Raises UserError for sizes that the weights cannot have, before any use.

  Args:
    folder: of the weights.
    config: TalkerConfig or TokenizerConfig.
  """
  with open_tensors(folder) as (shapes, _):
    tensors = len(shapes)
    numbers = sum(math.prod(shape) for shape in shapes.values())
  for name, value in flatten(to_dict(config)).items():
    most = tensors if name.endswith("depth") else numbers
    # No weight depends on the window.
    if type(value) is int and value > most and name != "window":
      raise UserError(
        f"{folder}: {name} is {value}, which {numbers} numbers in {tensors} "
        "tensors cannot fill; export it again"
      )


def _talker_config(config, trained):
  """The TalkerConfig that config.json speaks of.

  What PyTorch does not know (`dtype`, `remat`, ...) is as in training.
  """

  def chosen(given, like):
    if isinstance(like, dict):
      return {k: chosen(given.get(k, v), v) for k, v in like.items()}
    if like and isinstance(like, list) and isinstance(like[0], dict):
      return [chosen(one, like[0]) for one in given]
    return given

  described = chosen(config, trained)
  return from_config(TalkerConfig, described | {"dtype": trained["dtype"]})


def _categories(config):
  categories = {
    control["name"]: control["categories"]
    for control in config["controls"]
    if control["kind"] == "categorical"
  }
  for known in categories.values():
    if not isinstance(known, list) or {type(name) for name in known} - {str}:
      raise ValueError("categories")
  return categories


def _tokenizer(folder, config, statistics):
  _check_sizes(folder, config)
  params = _read_params(folder, tokenizer_shapes(config), 0)
  return PatchTokenizer(config, params, *statistics)


def _check_config(folder, config, cfg, encoders):
  """Raises UserError if the model here would compute something else."""
  wanted = describe_model(
    cfg,
    _categories(config),
    encoders,
    config["weights"],
    config["trained_steps"],
    config["dtype"],
  )
  changes = differences(
    json.loads(json.dumps(config)), wanted, free=("tokenizer.dtype",)
  )
  if changes:
    raise UserError(
      f"{folder}/config.json asks for what the model here does not do: "
      f"{describe(changes)}; set it back"
    )


def _read_params(folder, shapes, depth):
  """The parameters as a tree, float32.

  Raises:
    UserError: unknown or missing tensors, or others' shapes.
  """
  with open_tensors(folder) as (found, get):
    wanted = torch_shapes(shapes, depth)
    changes = differences(
      {name: str(tuple(shape)) for name, shape in wanted.items()},
      {name: str(shape) for name, shape in found.items()},
    )
    if changes:
      raise UserError(
        f"{folder} does not hold the tensors that its config.json asks for: "
        f"{describe(changes)}"
      )
    tree = {
      path: _assemble(path, shape, get, depth) for path, shape in shapes.items()
    }
  return traverse_util.unflatten_dict(tree, sep="/")


def _assemble(path, shape, get, depth):
  """One parameter of all its tensors."""
  parts = []
  for name, index in names.split_layers(path, shape, depth):
    one = shape if index is None else shape[1:]
    array = np.asarray(get(name)).astype(np.float32)
    parts.append(names.from_torch(path, array, one))
  return np.ascontiguousarray(
    np.stack(parts) if parts[0].shape != shape else parts[0]
  )


def _save(directory, params, cfg, tokenizer):
  """Writes a checkpoint of weights alone: no moments, no history."""
  items = {
    "state": {"params": params},
    "ema": params,
    "data": {
      "step": int(directory.name),
      "weights_only": True,
      "fingerprint": {
        "model": to_dict(cfg),
        "tokenizer": tokenizer.fingerprint,
      },
    },
  }
  directory.parent.mkdir()
  with CONTEXT:
    ocp.save_checkpointables(directory, items)
  write_manifest(directory)
