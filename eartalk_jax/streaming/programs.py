"""The compiled programs of `Streams`: opening a stream, and everybody's frame.

Dimension key: B slots, S sink frames, Y X picture, h w C latent frame.
"""

import functools

import jax
import jax.numpy as jnp

from eartalk_jax.recipes.ear import stream as frame


def make_begin(generator):
  """Portraits, their latents, seeds and conditions -> their state."""
  model, tokenizer = generator.model, generator.tokenizer

  @jax.jit
  def begin(weights, decoder, pictures_BYX3, latents_BShwC, seeds_B, portrait):
    key_B = jax.vmap(jax.random.key)(seeds_B)
    stream = frame.init(model, weights, latents_BShwC, key_B, portrait)
    pictures_BYX3 = pictures_BYX3.astype(jnp.float32) / 255
    first_BhwC = latents_BShwC[:, 0]
    decode = tokenizer.init_decode(decoder, pictures_BYX3, first_BhwC)
    return _plain(stream), decode

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
    decode_step = functools.partial(generator.tokenizer.decode_step, decoder)
    (stream, decode), frames_BtYX3, fine_B = frame.pixels_step(
      generator.model,
      decode_step,
      weights,
      (_keyed(state[0]), state[1]),
      signals,
      guidance,
    )
    moved_B = active_B & (sure_B | before_B) & fine_B
    state = jax.tree.map(
      lambda new, old: jnp.where(_column(moved_B, new.ndim), new, old),
      (_plain(stream), decode),
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


def _plain(stream):
  """The state with its keys as numbers, which can be chosen among and saved."""
  return stream.replace(key_B=jax.random.key_data(stream.key_B))


def _keyed(stream):
  return stream.replace(key_B=jax.random.wrap_key_data(stream.key_B))
