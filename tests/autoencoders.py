"""The smallest autoencoder, with weights that all count."""

import jax
import numpy as np

from eartalk_jax.tokenizers.autoencoder import TokenizerConfig
from eartalk_jax.tokenizers.patches import init_params

CONFIG = TokenizerConfig(
  size=16,
  patch=8,
  channels=4,
  width=16,
  heads=2,
  encoder_depth=1,
  decoder_depth=1,
)


def random_params(config=CONFIG, seed=0):
  """Weights without the zeros of a fresh start, so that each one counts."""
  params = jax.eval_shape(init_params(config), jax.random.key(seed))
  leaves, tree = jax.tree.flatten(params)
  rng = np.random.default_rng(seed)
  leaves = [0.2 * rng.normal(size=leaf.shape) for leaf in leaves]
  return jax.tree.unflatten(tree, [np.float32(leaf) for leaf in leaves])
