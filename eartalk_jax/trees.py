"""Names of what is in a tree."""

import jax


def path_name(path):
  """The path of a leaf as one word: "layers/mlp/up/kernel"."""
  return jax.tree_util.keystr(path, simple=True, separator="/")
