"""A pickle of weights, read by PyTorch without running what it asks for.

In a process of its own: a hostile file may still crash the reader, and PyTorch
stays out of this one.
"""

import importlib.util

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.processes import apart


def read_pickle(path):
  """{name: array} of the tensors in a pickle of PyTorch.

  Dictionaries in it are gone through for the one that holds tensors, such as
  "state_dict" in a training checkpoint.

  Raises:
    UserError: PyTorch is not installed, the file is damaged, or it holds
      something else than plain weights.
  """
  if importlib.util.find_spec("torch") is None:
    raise UserError(f"{path}: pickles need PyTorch: pip install torch")
  arrays = {}
  try:
    for name, array in apart.each(_tensors, str(path)):
      arrays[name] = array
  except apart.Died as end:
    raise UserError(
      f"{path} cannot be read (its reader {end.how}: {end.said}); download it "
      "again"
    ) from None
  return arrays


def _tensors(path):
  import torch

  try:
    content = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:
    said = str(error).strip().splitlines()
    raise UserError(
      f"{path} is no pickle of plain weights ({said[0] if said else error!r}); "
      "nothing of it was run: get the safetensors file, or download it again"
    ) from None
  for name, tensor in _state(content, path).items():
    array = tensor.detach()
    if array.is_floating_point():
      array = array.float()
    yield str(name), np.asarray(array)


def _state(content, path):
  """The dictionary of tensors within what was read."""
  import torch

  while isinstance(content, dict):
    tensors = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if tensors:
      return tensors
    inner = [
      k for k in ("state_dict", "model_state_dict", "model") if k in content
    ]
    if not inner:
      break
    content = content[inner[0]]
  raise UserError(f"{path} holds no tensors by name; give a file of weights")
