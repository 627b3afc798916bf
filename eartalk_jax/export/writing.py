"""Safetensors files of weights that never are in memory all at once.

The library's own writer wants every tensor of a file, and copies them; this
one asks for a tensor when its turn has come.
"""

import json
import math

import ml_dtypes
import numpy as np

from eartalk_jax.export.folders import DTYPES
from eartalk_jax.files import write_json
from eartalk_jax.trees import portions

_BYTES = {"float32": 4, "bfloat16": 2}
SHARD_BYTES = 2 * 10**9


def write_weights(folder, shapes, tensors, dtype, limit=SHARD_BYTES):
  """Writes model.safetensors, or shards and their index if that is too large.

  Args:
    folder: there already.
    shapes: {name: shape}, in the order in which `tensors` come.
    tensors: iterator of (name, float32 array).
    dtype: "float32" or "bfloat16", to store.
    limit: bytes of a shard; a larger tensor has one of its own.
  """
  sizes = {name: _size(shape, dtype) for name, shape in shapes.items()}
  shards = portions(sizes, limit)
  where = {}
  for index, shard in enumerate(shards, start=1):
    name = "model.safetensors"
    if len(shards) > 1:
      name = f"model-{index:05d}-of-{len(shards):05d}.safetensors"
    _write(folder / name, {n: shapes[n] for n in shard}, tensors, dtype)
    where |= dict.fromkeys(shard, name)
  if len(shards) > 1:
    total = {"total_size": sum(sizes.values())}
    index = {"metadata": total, "weight_map": where}
    write_json(folder / "model.safetensors.index.json", index)


def _size(shape, dtype):
  return math.prod(shape) * _BYTES[dtype]


def _write(path, shapes, tensors, dtype):
  header, end = {"__metadata__": {"format": "pt"}}, 0
  for name, shape in shapes.items():
    start, end = end, end + _size(shape, dtype)
    header[name] = {
      "dtype": DTYPES[dtype],
      "shape": list(shape),
      "data_offsets": [start, end],
    }
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 8)
  kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
  with open(path, "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for wanted, shape in shapes.items():
      name, array = next(tensors)
      if (name, array.shape) != (wanted, tuple(shape)):
        raise ValueError(f"{name}{array.shape} instead of {wanted}{shape}")
      array = np.ascontiguousarray(array, kind)
      file.write(array.reshape(-1).view(np.uint8).data)
