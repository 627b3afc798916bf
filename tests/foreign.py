"""Small random models of other libraries, and their files."""

import numpy as np
import torch
from safetensors.numpy import save_file

from eartalk_jax.importing.sources import open_source

TOLERANCE = 2e-5
# Threads that wait for busy cores make small models ten times slower.
torch.set_num_threads(1)


def perturbed(model, seed=0):
  """A model in which every number counts: what starts at 0 or 1 is moved."""
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for parameter in model.parameters():
      spread = 0.1 * torch.randn(parameter.shape, generator=generator)
      parameter.add_(spread)
  return model.eval()


def saved(model, folder):
  """The Source of a model as its own library saves it."""
  model.save_pretrained(folder, safe_serialization=True)
  return open_source(folder)


def pictures(*shape, seed=0):
  """Float pictures in [0, 1], channels last."""
  return np.random.default_rng(seed).random(shape, np.float32)


def to_torch(x):
  """Channels last to channels second."""
  return torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())


def from_torch(x):
  """The inverse of `to_torch`."""
  return np.moveaxis(x.detach().numpy(), 1, -1)


def file_of(path, arrays):
  """A Source of a single file with those arrays."""
  save_file({k: np.array(v, order="C") for k, v in arrays.items()}, path)
  return open_source(path)
