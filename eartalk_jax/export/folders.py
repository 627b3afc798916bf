"""What is in an exported folder, for those who bring it back or check it."""

import contextlib
import importlib.util
import json
import pathlib

from safetensors import SafetensorError, safe_open

from eartalk_jax.errors import UserError


def read_json(folder, name):
  """A JSON file of the folder.

  Raises:
    UserError: it is not there, or damaged.
  """
  path = pathlib.Path(folder) / name
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError:
    raise UserError(
      f"{folder} has no {name}; give a folder of python -m launch.export_torch"
    ) from None
  except ValueError as error:
    raise UserError(f"{path} is damaged ({error}); export it again") from None


@contextlib.contextmanager
def open_tensors(folder):
  """Yields ({name: shape}, name -> array) of all safetensors files.

  Raises:
    UserError: a file is missing or damaged.
  """
  folder = pathlib.Path(folder)
  with contextlib.ExitStack() as stack:
    holders = {}
    try:
      for path in _files(folder):
        file = stack.enter_context(safe_open(path, framework="numpy"))
        holders |= dict.fromkeys(file.keys(), file)
    except (OSError, SafetensorError) as error:
      raise UserError(
        f"the weights in {folder} cannot be read ({error}); export them again"
      ) from None
    shapes = {
      name: tuple(file.get_slice(name).get_shape())
      for name, file in holders.items()
    }
    yield shapes, lambda name: holders[name].get_tensor(name)


def _files(folder):
  index = folder / "model.safetensors.index.json"
  if not index.is_file():
    return [folder / "model.safetensors"]
  where = read_json(folder, index.name)["weight_map"]
  return [folder / name for name in sorted(set(where.values()))]


def load_module(folder):
  """The folder's own modeling_eartalk.py, as a module.

  Raises:
    UserError: it is not there, or PyTorch is not installed.
  """
  path = pathlib.Path(folder) / "modeling_eartalk.py"
  if not path.is_file():
    raise UserError(f"{folder} has no {path.name}; export it again")
  if importlib.util.find_spec("torch") is None:
    raise UserError("PyTorch is needed: pip install torch")
  spec = importlib.util.spec_from_file_location("exported_eartalk", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
