"""Names of what is in a tree, and parts of it."""

import hashlib

import jax
import numpy as np


def tree_fingerprint(tree):
  """sha256 over the names, forms and numbers of a tree of arrays."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.ascontiguousarray(leaf)
    digest.update(f"{path_name(path)} {array.dtype} {array.shape}".encode())
    digest.update(array)
  return digest.hexdigest()


def path_name(path):
  """The path of a leaf as one word: "layers/mlp/up/kernel"."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


def portions(sizes, limit):
  """Keys in order, in lists that hold `limit` together, or one that is larger.

  Args:
    sizes: {key: bytes}.
    limit: bytes of a list.
  """
  found, room = [], 0
  for key, size in sizes.items():
    if not found or size > room:
      found.append([])
      room = limit
    found[-1].append(key)
    room -= size
  return found
