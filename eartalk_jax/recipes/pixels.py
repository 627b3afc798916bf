"""A step of any recipe, and what a tokenizer shows of it.

Dimension key: B streams, t frames of a latent, Y X picture.
"""

import jax.numpy as jnp

from eartalk_jax.tokenizers import to_uint8


def pixels_step(generator, decoder, weights, state, signals, guidance):
  """Makes the next latent of every stream and shows it.

  Args:
    generator: has `recipe`, `model` and `tokenizer`.
    decoder: the tokenizer's parameters.
    weights: the model's, as `Recipe.prepare` gives them.
    state: (that of the recipe, that of the tokenizer's decoder).
    signals, guidance: see `Recipe.step`.

  Returns:
    (the state after the step, uint8 frames_BtYX3, fine_B): whether the numbers
    behind a stream's frames are finite. If not, neither its frames nor its
    state are of use.
  """
  stream, latent_BhwC = generator.recipe.step(
    generator.model, weights, state[0], signals, guidance
  )
  decode, frames_BtYX3 = generator.tokenizer.decode_step(
    decoder, state[1], latent_BhwC
  )
  fine_B = _finite(latent_BhwC) & _finite(frames_BtYX3)
  return (stream, decode), to_uint8(frames_BtYX3), fine_B


def _finite(x):
  """Whether all numbers of each row are finite, [B]."""
  return jnp.isfinite(x).all(axis=range(1, x.ndim))
