"""From a folder of PyTorch, fine-tuned perhaps, back to a checkpoint.

What comes out is a work directory like that of a run, but its checkpoint has
no moments: a run of one's own begins from it (`run.start_from`).
"""

import json
import pathlib

import numpy as np
from flax import traverse_util
from orbax.checkpoint import v1 as ocp

from eartalk_jax.checkpoints.checkpoint_files import checkpoints_of
from eartalk_jax.checkpoints.checkpoint_reading import CONTEXT
from eartalk_jax.checkpoints.manifest import write_manifest
from eartalk_jax.config import describe, differences, from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.export import names
from eartalk_jax.export.description import describe_model
from eartalk_jax.export.exporting import (
  parameter_shapes,
  tokenizer_shapes,
  torch_shapes,
)
from eartalk_jax.export.folders import open_tensors, read_json
from eartalk_jax.files import making_folder, write_json
from eartalk_jax.models.autoencoder import TokenizerConfig
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.tokenizer import Tokenizer, save_tokenizer


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
  config = read_json(folder, "config.json")
  training = read_json(folder, "training.json")
  try:
    run, step = training["run"], config["trained_steps"]
    cfg = _talker_config(config, run["model"])
    tokenizer_config = from_config(TokenizerConfig, training["tokenizer"])
  except (KeyError, TypeError) as error:
    raise UserError(f"{folder} is damaged: {error}; export it again") from None
  tokenizer = _tokenizer(folder / "tokenizer", config, tokenizer_config)
  _check_config(folder, config, cfg, tokenizer)
  params = _read_params(folder, parameter_shapes(cfg), cfg.depth)
  run = run | {"model": to_dict(cfg), "categories": _categories(config)}
  run["fingerprints"] |= {"tokenizer": tokenizer.fingerprint}
  with making_folder(out) as partial:
    write_json(partial / "config.json", run)
    save_tokenizer(partial / "tokenizer", tokenizer)
    _save(checkpoints_of(partial) / str(step), params, cfg, tokenizer)
  return step


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
  return {
    control["name"]: control["categories"]
    for control in config["controls"]
    if control["kind"] == "categorical"
  }


def _tokenizer(folder, config, tokenizer_config):
  shapes = tokenizer_shapes(tokenizer_config)
  return Tokenizer(
    config=tokenizer_config,
    params=_read_params(folder, shapes, 0),
    mean_C=np.asarray(config["tokenizer"]["latent_mean"], np.float32),
    std=np.asarray(config["tokenizer"]["latent_std"], np.float32),
  )


def _check_config(folder, config, cfg, tokenizer):
  """Raises UserError if the model here would compute something else."""
  wanted = describe_model(
    cfg,
    _categories(config),
    tokenizer,
    config.get("weights"),
    config["trained_steps"],
    config.get("dtype"),
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
