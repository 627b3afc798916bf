"""What is in an exported folder, for those who bring it back or check it."""

import contextlib
import importlib.util
import os
import pathlib
import re

from safetensors import SafetensorError, safe_open

from eartalk_jax import documents
from eartalk_jax.errors import UserError
from eartalk_jax.outputs import check_folder

# A file of the folder itself, by the name that any system gives it.
_FILE = re.compile(r"\w[\w.-]*")
WEIGHTS = ("ema", "raw")
# Of stored weights.
DTYPES = {"float32": "F32", "bfloat16": "BF16"}


def check_new(out):
  """Raises UserError, before any work, if a folder cannot be made there."""
  if os.path.lexists(out):
    raise UserError(f"{out} is there already; delete it or choose another")
  check_folder(out)


def read_json(folder, name):
  """The dictionary in a JSON file of the folder.

  Raises:
    UserError: it is not there, or damaged.
  """
  path = pathlib.Path(folder) / name
  if not path.is_file():
    raise UserError(
      f"{folder} has no {name}; give a folder of python -m launch.export_torch"
    )
  found = documents.read_json(path, "export it again")
  if not isinstance(found, dict):
    raise UserError(f"{path} holds no dictionary; export it again")
  return found


def read_config(folder):
  """config.json, of which it is sure what the weights in the folder are.

  Raises:
    UserError: it is not there, or says nothing possible of them.
  """
  config = read_json(folder, "config.json")
  for name in ("trained_steps", "weights", "dtype"):
    if name not in config:
      raise UserError(f"{folder}/config.json has no {name}; export it again")
  step = config["trained_steps"]  # the name of a folder, in a work directory
  possible = {
    "trained_steps": type(step) is int and 0 <= step < 2**53,
    "weights": config["weights"] in WEIGHTS,
    "dtype": config["dtype"] in tuple(DTYPES),
  }
  for name, good in possible.items():
    if not good:
      raise UserError(
        f"{folder}/config.json: {name} is {str(config[name])[:60]!r}; export "
        "it again"
      )
  return config


@contextlib.contextmanager
def open_tensors(folder):
  """Yields ({name: shape}, name -> array) of all safetensors files.

  Raises:
    UserError: a file is missing, damaged or elsewhere, or holds other tensors
      than the index says, or tensors of another type than weights have.
  """
  folder = pathlib.Path(folder)
  with contextlib.ExitStack() as stack:
    holders, shapes = {}, {}
    for path, wanted in _files(folder):
      file = stack.enter_context(_opened(path))
      names = set(file.keys())
      if wanted not in (None, names):
        wrong = sorted(names ^ wanted)
        raise UserError(
          f"{path} and the index beside it disagree about {wrong[:5]}; export "
          "them again"
        )
      for name in names:
        part = file.get_slice(name)
        if part.get_dtype() not in DTYPES.values():
          raise UserError(
            f"{path}: {name} is of type {part.get_dtype()}; store weights as "
            f"{' or '.join(DTYPES)}"
          )
        holders[name], shapes[name] = file, tuple(part.get_shape())
    yield shapes, lambda name: holders[name].get_tensor(name)


def _opened(path):
  """A safetensors file; what it says of itself is checked by the library."""
  problem = "there is no such file"
  if path.is_file():  # a pipe would wait
    try:
      return safe_open(path, framework="numpy")
    except (OSError, ValueError, SafetensorError) as error:
      problem = error
  raise UserError(f"{path} cannot be read ({problem}); export it again")


def _files(folder):
  """[(file, names of the tensors in it, or None if no index says so)]."""
  index = folder / "model.safetensors.index.json"
  if not index.is_file():
    return [(folder / "model.safetensors", None)]
  where = read_json(folder, index.name).get("weight_map")
  files = where.values() if isinstance(where, dict) else [None]
  for name in files:
    if not isinstance(name, str) or not _FILE.fullmatch(name):
      raise UserError(
        f"{index}: weight_map has {str(name)[:60]!r}, which is no file of the "
        "folder; export it again"
      )
  return [
    (folder / file, {name for name, of in where.items() if of == file})
    for file in sorted(set(files))
  ]


def load_module(folder):
  """The folder's own modeling_eartalk.py, as a module.

  Raises:
    UserError: it is not there, fails, or PyTorch is not installed.
  """
  path = pathlib.Path(folder) / "modeling_eartalk.py"
  if not path.is_file():
    raise UserError(f"{folder} has no {path.name}; export it again")
  if importlib.util.find_spec("torch") is None:
    raise UserError("PyTorch is needed: pip install torch")
  spec = importlib.util.spec_from_file_location("exported_eartalk", path)
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except Exception as error:  # it may be anybody's
    raise UserError(
      f"{path} does not run ({type(error).__name__}: {error}); export it again"
    ) from None
  return module
