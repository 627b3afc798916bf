"""The `masked` head: a frame's tokens set by set, each token denoised alone.

Training hides a random share of a frame's tokens and denoises the hidden ones.
Sampling goes through a random order of the places; each set is denoised given
all sets before it (MAR, arXiv 2406.11838; NOVA, 2412.14169).

Dimension key: B clips or streams, T frames, N tokens, S tokens of the largest
set, c numbers in a token, E head width, R noise draws; leading ... is whatever
tokens are denoised, each alone.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import denoising
from eartalk_jax.denoising.ddpm import Cosine
from eartalk_jax.denoising.flow import Flow
from eartalk_jax.heads.common import layer_products
from eartalk_jax.heads.masked_network import MaskedHead
from eartalk_jax.layers.cost import Product

SETTINGS = {"steps": (1, 1000), "sets": (1, None), "temperature": (0, 2)}

# The share of hidden tokens: normal around 1, cut to [0.7, 1] (MAR, NOVA).
HIDDEN_SPREAD, HIDDEN_LEAST = 0.25, 0.7


def hidden_tokens(key, frames, tokens):
  """Which tokens training hides, at least one in each frame.

  Args:
    key: of the choice.
    frames: shape of the frames.
    tokens: N.

  Returns:
    [*frames, N] bool.
  """
  share_key, order_key = jax.random.split(key)
  lower = (HIDDEN_LEAST - 1) / HIDDEN_SPREAD
  share = 1 + HIDDEN_SPREAD * jax.random.truncated_normal(
    share_key, lower, 0.0, frames
  )
  uniform = jax.random.uniform(order_key, (*frames, tokens))
  rank = jnp.argsort(jnp.argsort(uniform, axis=-1), axis=-1)
  return rank < jnp.ceil(share * tokens)[..., None]


def set_sizes(tokens, sets):
  """How many tokens each set has: few at first, as the cosine falls.

  Returns:
    [sets] positive ints whose sum is `tokens`.
  """
  sizes, left = [], tokens
  for index in range(1, sets + 1):
    after = int(tokens * np.cos(np.pi / 2 * index / sets))
    after = min(max(after, sets - index), left - 1)
    sizes.append(left - after)
    left = after
  return np.array(sizes)


def _process(cfg):
  return Flow(cfg.shift) if cfg.process == "flow" else Cosine()


def _denoiser(process, net, context, guess):
  """(noisy [..., 1, c], time [...]) -> what the process predicts, of tokens.

  The backbone's guess is taken off the noisy tokens: what is left to learn is
  how the frame differs from it.
  """

  def denoise(noisy, time):
    noisy = noisy[..., 0, :] - process.signal(time)[..., None] * guess
    out = net.denoise(noisy, time, context)
    return (out + guess if process.predicts_data else out)[..., None, :]

  return denoise


def loss(cfg, net, target_BTNc, features, key, uniform=None):
  """See `Head`. The error is that of the hidden tokens."""
  hidden_key, process_key = jax.random.split(key)
  process, (h_BTND, guess_BTNc) = _process(cfg), features
  *frames, tokens = target_BTNc.shape[:-1]
  hidden_BTN = hidden_tokens(hidden_key, frames, tokens)
  context_BTNE = net.context(target_BTNc, ~hidden_BTN, h_BTND)
  # All draws read the same context.
  denoise = _denoiser(process, net, context_BTNE[None], guess_BTNc[None])
  error_BTN = denoising.loss(
    process,
    denoise,
    target_BTNc[..., None, :],
    process_key,
    cfg.draws,
    uniform,
  )
  error_BTN = jnp.where(hidden_BTN, error_BTN, 0.0)
  return error_BTN.sum(axis=-1) / hidden_BTN.sum(axis=-1)


def _denoise_set(cfg, net, given, key_B, guidance, ramp):
  """New tokens [B S c] of a set.

  Args:
    given: (context, guess) of the set's tokens in all branches.
    key_B: of this set.
    ramp: share of the guidance that counts.
  """
  context, guess = (x.reshape(-1, x.shape[-1]) for x in given)
  rows, (s, c) = key_B.shape[0], given[1].shape[1:]
  process = _process(cfg)
  predict = _denoiser(process, net, context, guess)

  def denoise(noisy_X1c, time_X):
    out = predict(guidance.repeat(noisy_X1c), guidance.repeat(time_X))
    return guidance.combine(out, ramp)

  def noise(step):
    def draw(key):
      return jax.random.normal(jax.random.fold_in(key, step), (s, 1, c))

    return jax.vmap(draw)(key_B).reshape(-1, 1, c)

  new_X1c = denoising.sample(
    process, denoise, cfg.steps, noise, cfg.temperature
  )
  return new_X1c.reshape(rows, s, c)


def sample(cfg, net, features, key_B, guidance):
  """See `Head`. Guidance grows with the share of tokens that are known."""
  h, guess = features
  rows, (n, c) = key_B.shape[0], guess.shape[1:]
  sizes = set_sizes(n, cfg.sets)
  begins, largest = np.cumsum(sizes) - sizes, int(sizes.max())
  keys_B2 = jax.vmap(jax.random.split)(key_B)
  order_key_B, noise_key_B = keys_B2[:, 0], keys_B2[:, 1]
  order_BN = jax.vmap(lambda key: jax.random.permutation(key, n))(order_key_B)
  rank_BN = jnp.argsort(order_BN, axis=1)
  # A set's places are a slice of the order, which may reach beyond its end.
  order_BN = jnp.pad(order_BN, ((0, 0), (0, largest)), constant_values=n)

  def one_set(tokens_BNc, now):
    index, begin, size = now
    place_BS = jax.lax.dynamic_slice_in_dim(order_BN, begin, largest, axis=1)
    known = guidance.repeat(rank_BN < begin)
    context = net.context(guidance.repeat(tokens_BNc), known, h)
    place = guidance.repeat(place_BS)[..., None]
    given = [
      jnp.take_along_axis(x, place, axis=1, mode="clip")
      for x in (context, guess)
    ]
    key_of_set_B = jax.vmap(jax.random.fold_in, (0, None))(noise_key_B, index)
    ramp = (begin + size) / n
    new_BSc = _denoise_set(cfg, net, given, key_of_set_B, guidance, ramp)
    # What the slice holds beyond the set itself is left for later sets.
    place_BS = jnp.where(jnp.arange(largest)[None] < size, place_BS, n)
    row_B1 = jnp.arange(rows)[:, None]
    return tokens_BNc.at[row_B1, place_BS].set(new_BSc, mode="drop"), None

  plan = tuple(map(jnp.asarray, (np.arange(cfg.sets), begins, sizes)))
  return jax.lax.scan(one_set, jnp.zeros((rows, n, c)), plan)[0]


def network(cfg, tokens, token_width, dtype, placement, remat):
  """See `Head`."""
  return MaskedHead(cfg, tokens, token_width, dtype, placement, remat)


def times(cfg, tokens):
  """See `Head`: each token has a time of its own."""
  del cfg
  return (tokens,)


def check(cfg, tokens):
  """See `Head`."""
  if not 1 <= cfg.sets <= tokens:
    raise ValueError(f"head.sets is {cfg.sets}; a frame has {tokens} tokens")


def products(cfg, width, tokens, token_width, training):
  """See `Head`."""
  e, f, n, c = cfg.width, cfg.denoiser_width, tokens, token_width
  sets = 1 if training else cfg.sets
  denoised = n * (cfg.draws if training else cfg.steps)
  layers = cfg.denoiser_depth
  return [
    Product("head", n + 1, e, 0, bias=False),  # place, unknown
    Product("head", width, e, n),
    Product("head", c, e, n * sets, of_data=True),
    *layer_products(cfg, n, sets),
    Product("head", f, f, denoised, of_data=True),  # time
    Product("head", f, f, denoised),
    Product("head", e, f, n),  # all draws, or steps, read the same context
    # The noisy tokens are taken less the backbone's guess: not only data.
    Product("head", c, f, denoised),
    Product("head", f, cfg.rank, denoised, layers),
    Product("head", cfg.rank, 3 * f, denoised, layers),
    Product("head", f, f, denoised, 2 * layers),
    Product("head", f, c, denoised),
  ]


def resized(cfg, width, heads, depth, unit):
  """See `Head`; the denoiser grows in proportion."""
  denoiser = max(round(cfg.denoiser_width * width / cfg.width / unit), 1)
  return dataclasses.replace(
    cfg, width=width, heads=heads, depth=depth, denoiser_width=denoiser * unit
  )


def hidden_layer(cfg):
  """See `Head`."""
  return f"denoiser/layers_{cfg.denoiser_depth - 1}"
