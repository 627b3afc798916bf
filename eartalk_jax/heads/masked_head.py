"""The `masked` head: a frame's tokens set by set, each token denoised alone.

Training hides a random share of a frame's tokens and denoises the hidden ones.
Sampling goes through a random order of the places; each set is denoised given
all sets before it (MAR, arXiv 2406.11838; NOVA, 2412.14169).

Dimension key: B clips or streams, T frames, N tokens, S tokens of the largest
set, c numbers in a token, E head width, R noise draws; leading ... is whatever
tokens are denoised, each alone.
"""

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import diffusion, flow

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


def _denoiser(cfg, use, context, guess):
  """(noisy [..., 1, c], time [...]) -> what the process predicts, of tokens.

  The backbone's guess is taken off the noisy tokens: what is left to learn is
  how the frame differs from it.
  """
  of_flow = cfg.process == "flow"
  signal = flow.signal if of_flow else diffusion.signal

  def denoise(noisy, time):
    noisy = noisy[..., 0, :] - signal(time)[..., None] * guess
    out = use("denoise", noisy, time, context)
    return (out + guess if of_flow else out)[..., None, :]

  return denoise


def loss(cfg, use, target_BTNc, features, key, uniform=None):
  """See `heads`. The error is that of the hidden tokens."""
  hidden_key, process_key = jax.random.split(key)
  h_BTND, guess_BTNc = features
  *frames, tokens = target_BTNc.shape[:-1]
  hidden_BTN = hidden_tokens(hidden_key, frames, tokens)
  context_BTNE = use("context", target_BTNc, ~hidden_BTN, h_BTND)
  # All draws read the same context.
  denoise = _denoiser(cfg, use, context_BTNE[None], guess_BTNc[None])
  target_BTN1c = target_BTNc[..., None, :]
  if cfg.process == "flow":
    error_BTN = flow.loss(
      denoise, target_BTN1c, process_key, cfg.draws, cfg.shift, uniform
    )
  else:
    error_BTN = diffusion.loss(
      denoise, target_BTN1c, process_key, cfg.draws, uniform
    )
  error_BTN = jnp.where(hidden_BTN, error_BTN, 0.0)
  return error_BTN.sum(axis=-1) / hidden_BTN.sum(axis=-1)


def _denoise_set(cfg, use, given, key_B, guidance, ramp):
  """New tokens [B S c] of a set.

  Args:
    given: (context, guess) of the set's tokens in all branches.
    key_B: of this set.
    ramp: share of the guidance that counts.
  """
  context, guess = (x.reshape(-1, x.shape[-1]) for x in given)
  rows, (s, c) = key_B.shape[0], given[1].shape[1:]
  predict = _denoiser(cfg, use, context, guess)

  def denoise(noisy_X1c, time_X):
    out = predict(guidance.repeat(noisy_X1c), guidance.repeat(time_X))
    return guidance.combine(out, ramp)

  def noise(step):
    def draw(key):
      return jax.random.normal(jax.random.fold_in(key, step), (s, 1, c))

    return jax.vmap(draw)(key_B).reshape(-1, 1, c)

  # The start has a number of its own, after those of the steps.
  start_X1c = noise(cfg.steps)
  if cfg.process == "flow":
    start_X1c = cfg.temperature * start_X1c
    new_X1c = flow.sample(denoise, start_X1c, cfg.steps, cfg.shift)
  else:
    new_X1c = diffusion.sample(
      denoise, start_X1c, cfg.steps, lambda step: cfg.temperature * noise(step)
    )
  return new_X1c.reshape(rows, s, c)


def sample(cfg, use, features, key_B, guidance):
  """See `heads`. Guidance grows with the share of tokens that are known."""
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
    context = use("context", guidance.repeat(tokens_BNc), known, h)
    place = guidance.repeat(place_BS)[..., None]
    given = [
      jnp.take_along_axis(x, place, axis=1, mode="clip")
      for x in (context, guess)
    ]
    key_of_set_B = jax.vmap(jax.random.fold_in, (0, None))(noise_key_B, index)
    ramp = (begin + size) / n
    new_BSc = _denoise_set(cfg, use, given, key_of_set_B, guidance, ramp)
    # What the slice holds beyond the set itself is left for later sets.
    place_BS = jnp.where(jnp.arange(largest)[None] < size, place_BS, n)
    row_B1 = jnp.arange(rows)[:, None]
    return tokens_BNc.at[row_B1, place_BS].set(new_BSc, mode="drop"), None

  plan = tuple(map(jnp.asarray, (np.arange(cfg.sets), begins, sizes)))
  return jax.lax.scan(one_set, jnp.zeros((rows, n, c)), plan)[0]
