"""The compiled programs of `Streams`: opening a stream, and everybody's frame.

Dimension key: B slots, S sink frames, Y X picture, h w C latent frame.
"""

import functools

import jax
import jax.numpy as jnp

from eartalk_jax.recipes.pixels import pixels_step


def make_begin(generator):
  """Portraits, their latents, seeds and conditions -> their state."""
  model, tokenizer = generator.model, generator.tokenizer

  @jax.jit
  def begin(weights, decoder, pictures_BYX3, latents_BShwC, seeds_B, portrait):
    key_B = jax.vmap(jax.random.key)(seeds_B)
    stream = generator.recipe.open(
      model, weights, latents_BShwC, key_B, portrait
    )
    pictures_BYX3 = pictures_BYX3.astype(jnp.float32) / 255
    first_BhwC = latents_BShwC[:, 0]
    decode = tokenizer.init_decode(decoder, pictures_BYX3, first_BhwC)
    return stream, decode

  return begin


def make_step(generator):
  """One frame of the active rows: (state, uint8 frames_BtYX3, moved_B).

  A row whose frame is not finite keeps its state, as one that is not active.
  So does a row of which the step before was needed (it is not `sure`) and did
  not move it: that it failed may not be known yet when this step is asked for.
  """

  @functools.partial(jax.jit, donate_argnames=("state",))
  def step(
    weights, decoder, state, signals, guidance, active_B, sure_B, before_B
  ):
    (stream, decode), frames_BtYX3, fine_B = pixels_step(
      generator,
      decoder,
      weights,
      state,
      signals,
      guidance,
    )
    moved_B = active_B & (sure_B | before_B) & fine_B
    state = jax.tree.map(
      lambda new, old: jnp.where(_column(moved_B, new.ndim), new, old),
      (stream, decode),
      state,
    )
    return state, frames_BtYX3, moved_B

  return step


@functools.partial(jax.jit, donate_argnums=0)
def put(state, row, one):
  """The state with slot `row` replaced."""
  return jax.tree.map(lambda all_B, new: all_B.at[row].set(new), state, one)


def _column(x_B, rank):
  return x_B.reshape(x_B.shape + (1,) * (rank - 1))
