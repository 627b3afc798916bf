"""Latent frames to tokens and back.

Dimension key: h, w latent grid, C channels, N tokens, c numbers in a token.
"""

import jax.numpy as jnp


def to_tokens(latents_hwC, patch):
  """[..., h, w, C] -> [..., N, c], tokens in row-major order."""
  *lead, h, w, c = latents_hwC.shape
  rows, columns = h // patch, w // patch
  x = latents_hwC.reshape(*lead, rows, patch, columns, patch, c)
  x = jnp.moveaxis(x, -4, -3)
  return x.reshape(*lead, rows * columns, patch * patch * c)


def to_latents(tokens_Nc, latent_shape, patch):
  """The inverse of `to_tokens`."""
  h, w, c = latent_shape
  lead = tokens_Nc.shape[:-2]
  rows, columns = h // patch, w // patch
  x = tokens_Nc.reshape(*lead, rows, columns, patch, patch, c)
  x = jnp.moveaxis(x, -3, -4)
  return x.reshape(*lead, h, w, c)
