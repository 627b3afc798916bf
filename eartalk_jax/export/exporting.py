"""From a checkpoint to a folder for PyTorch, one tensor at a time."""

import pathlib
import shutil

import jax
import numpy as np

from eartalk_jax.checkpoints.checkpoint_files import (
  checkpoints_of,
  choose_checkpoint,
)
from eartalk_jax.checkpoints.checkpoint_reading import open_arrays
from eartalk_jax.checkpoints.parts import load_speech_of
from eartalk_jax.checkpoints.resumption import read_run
from eartalk_jax.config import describe, differences, from_config
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.export import description, names
from eartalk_jax.export.card import write_card
from eartalk_jax.export.encoders import (
  check_kinds,
  describe_part,
  foreign_parts,
  write_foreign,
)
from eartalk_jax.export.folders import check_new
from eartalk_jax.export.writing import write_weights
from eartalk_jax.files import making_folder, write_json
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.tokenizers import patches
from eartalk_jax.tokenizers.storing import load_tokenizer
from eartalk_jax.trees import path_name

_HERE = pathlib.Path(__file__).parent
# Files that come with every folder.
COPIED = ("modeling_eartalk.py", "picture_files.py", "example.py")
# The one that comes with encoders of other libraries.
ENCODERS = "modeling_encoders.py"
# Item of a checkpoint, and where in it the parameters are.
ITEMS = {"ema": ("ema", ""), "raw": ("state", "params/")}


def export_folder(workdir, out, weights="ema", dtype="float32", step=None):
  """Writes a folder that PyTorch users can load; see `eartalk_jax.export`.

  Args:
    workdir: of a training run.
    out: the folder to make.
    weights: "ema", the average that inference uses, or "raw".
    dtype: "float32" or "bfloat16", of the talker's weights; those of the
      tokenizer stay as they are.
    step: of the checkpoint; the newest unless given.

  Returns:
    The step.

  Raises:
    UserError: no whole checkpoint, or one of another model; `out` is there or
      cannot be made; a kind of encoder that PyTorch cannot be told of.
  """
  workdir, out = pathlib.Path(workdir), pathlib.Path(out)
  check_new(out)
  if out.resolve().is_relative_to(checkpoints_of(workdir).resolve()):
    raise UserError(f"{out} lies among checkpoints; choose another folder")
  run = read_run(workdir)
  cfg = from_config(TalkerConfig, run["model"])
  tokenizer = load_tokenizer(workdir / "tokenizer")
  encoders = tokenizer, load_speech_of(workdir, run, cfg.audio)
  check_kinds(run, *encoders)
  source = choose_checkpoint(workdir, step)
  shapes, arrays = open_arrays(source, *ITEMS[weights])
  _check_shapes(shapes, cfg, source)
  config = description.describe_model(
    cfg, run["categories"], encoders, weights, int(source.name), dtype
  )
  with making_folder(out) as folder:
    _write(folder, config, shapes, arrays, cfg.depth, dtype)
    if tokenizer.kind == "patches":
      (folder / "tokenizer").mkdir()
      _write_tokenizer(folder / "tokenizer", config["tokenizer"], tokenizer)
    write_foreign(folder, encoders, workdir)
    for name in COPIED + (ENCODERS,) * bool(foreign_parts(encoders)):
      shutil.copyfile(_HERE / name, folder / name)
    write_json(folder / "training.json", describe_training(run, encoders))
    write_card(folder, config, run)
  return int(source.name)


def describe_training(run, encoders):
  """training.json: what the way back needs and PyTorch does not."""
  tokenizer, speech = map(describe_part, encoders)
  return {"run": run, "tokenizer": tokenizer, "speech": speech}


def parameter_shapes(cfg):
  """{path: shape} of a talker's parameters."""
  init = init_params(Talker(cfg))
  return _shapes(jax.eval_shape(init, jax.random.key(0)))


def _shapes(tree):
  return {
    path_name(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def torch_shapes(shapes, depth):
  """{name in PyTorch: shape}, in the order of `split`."""
  return {
    name: names.torch_shape(path, shape if index is None else shape[1:])
    for path, shape in shapes.items()
    for name, index in names.split_layers(path, shape, depth)
  }


def split(arrays, depth):
  """(path, array) as they come -> (name in PyTorch, array as it is there)."""
  for path, array in arrays:
    for name, index in names.split_layers(path, array.shape, depth):
      part = array if index is None else array[index]
      yield name, names.to_torch(path, part)


def tokenizer_shapes(config):
  """{path: shape} of the weights of a tokenizer."""
  shapes = jax.eval_shape(patches.init_params(config), jax.random.key(0))
  return _shapes(shapes)


def tokenizer_tensors(tokenizer):
  """{path: array} of a tokenizer's weights."""
  return {
    path_name(path): np.asarray(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tokenizer.params)
  }


def _check_shapes(shapes, cfg, source):
  changes = differences(
    {path: str(shape) for path, shape in shapes.items()},
    {path: str(shape) for path, shape in parameter_shapes(cfg).items()},
  )
  if changes:
    raise UserError(
      f"{source} holds the parameters of another model than config.json "
      f"beside it: {describe(changes)}"
    )


def _write(folder, config, shapes, arrays, depth, dtype):
  write_json(folder / "config.json", config)
  with counting("exporting", len(shapes), "arrays") as advance:

    def counted():
      for array in arrays:
        yield array
        advance()

    tensors = split(counted(), depth)
    write_weights(folder, torch_shapes(shapes, depth), tensors, dtype)
    next(tensors, None)  # counts the last one


def _write_tokenizer(folder, config, tokenizer):
  arrays = tokenizer_tensors(tokenizer)
  shapes = {path: array.shape for path, array in arrays.items()}
  tensors = split(arrays.items(), 0)
  write_json(folder / "config.json", config)
  write_weights(folder, torch_shapes(shapes, 0), tensors, "float32")
