"""The loss of a model on one fixed set: the same numbers for every cell.

A training batch draws its flow times and its noise, and their luck is larger
than what sizes differ by. Here they are laid out: the levels of the history's
noise are the evenly spaced quantiles of their distribution, so are the times,
each draw of a frame from a stratum of its own; which frame gets which is
shuffled once. Noise, windows and portraits come from fixed seeds, and nothing
is left out of the conditions. Only data, window length, history and head of the
config decide about the set, and `fingerprint` tells sets apart.

Dimension key: B windows of a chunk, T frames, R draws, N tokens.
"""

import dataclasses
import hashlib

import jax
import numpy as np

from eartalk_jax import heads

_SEED = 20_240_601
# Raise it when the same seed begins to give other noise.
_VERSION = 2
# Windows that are evaluated at a time, at most.
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class FixedSet:
  """Windows of held-out clips, and the noise on them.

  Attributes:
    chunks: dictionaries of "batch", "level_BT", "uniform" and "number".
    draws: noise draws of each frame.
    fingerprint: hash of every number that models are evaluated on.
  """

  chunks: tuple
  draws: int
  fingerprint: str


def make_fixed_set(open_batches, frames, model, windows, draws):
  """The set of some held-out data.

  Args:
    open_batches: (TalkerConfig, rows, seed) -> batches of so many windows, one
      after another.
    frames: T, the length of a window.
    model: TalkerConfig; its widths and depths do not matter.
    windows: how many.
    draws: R.
  """
  rows = max(n for n in range(1, min(windows, _CHUNK) + 1) if windows % n == 0)
  batches = open_batches(_all_given(model), rows, _SEED)
  rng = np.random.default_rng(_SEED)
  level_XT = _levels(model.history, (windows, frames), rng)
  times = heads.of(model.head).times(model.head, model.tokens)
  each = (frames, *times)
  uniform_RX = _strata(draws, (windows, *each), rng)
  chunks = []
  for number in range(windows // rows):
    part = slice(number * rows, (number + 1) * rows)
    chunks.append(
      {
        "batch": next(batches),
        "level_BT": level_XT[part],
        "uniform": uniform_RX[:, part],
        "number": np.int32(number),
      }
    )
  digest = hashlib.sha256(f"{_VERSION} {model.history} {model.patch}".encode())
  for leaf in jax.tree.leaves(chunks):
    digest.update(np.ascontiguousarray(leaf))
  return FixedSet(tuple(chunks), draws, digest.hexdigest())


def _all_given(model):
  """The model's config where nothing is left out of the conditions."""
  controls = tuple(
    dataclasses.replace(control, drop=0.0) for control in model.controls
  )
  audio = dataclasses.replace(model.audio, drop=0.0)
  return dataclasses.replace(model, controls=controls, audio=audio)


def evaluate(recipe, model, params, fixed):
  """The loss of parameters, {"loss", "error", "portrait"}.

  Args:
    recipe: Recipe.
    model: TalkerConfig.
    params: of its model.
    fixed: FixedSet.

  Returns:
    loss: mean over all frames and draws. error: the standard error that another
    choice of as many windows would bring, as if those were independent.
    portrait: the loss of who always says the portrait and nothing else.
  """
  head = dataclasses.replace(model.head, draws=fixed.draws)
  network = recipe.model(dataclasses.replace(model, head=head))

  def laid_out(chunk):
    key = jax.random.fold_in(jax.random.key(_SEED), chunk["number"])
    return chunk["batch"], key, chunk

  @jax.jit
  def losses(params, chunk):
    return recipe.losses(network, params, None, *laid_out(chunk))

  @jax.jit
  def portrait_losses(chunk):
    return recipe.portrait_losses(network, *laid_out(chunk))

  found = [np.asarray(losses(params, chunk)) for chunk in fixed.chunks]
  windows = np.concatenate(found).astype(np.float64).mean(axis=1)
  portrait = [portrait_losses(chunk).mean() for chunk in fixed.chunks]
  return {
    "loss": float(windows.mean()),
    "error": float(windows.std(ddof=1) / np.sqrt(len(windows))),
    "portrait": float(np.mean(portrait)),
  }


def _levels(history, shape, rng):
  """Levels at evenly spaced quantiles of the training's, shuffled."""
  size = int(np.prod(shape))
  quantile = (rng.permutation(size) + 0.5) / size
  noised = np.maximum(quantile - history.clean_share, 0.0)
  noised /= max(1 - history.clean_share, 1e-9)
  return (history.max_level * np.cbrt(noised)).astype(np.float32).reshape(shape)


def _strata(draws, shape, rng):
  """Numbers in (0, 1), [R, *shape]: draw r's lie evenly in its R-th part."""
  size = int(np.prod(shape))
  inside = np.stack([rng.permutation(size) + 0.5 for _ in range(draws)]) / size
  uniform = (np.arange(draws)[:, None] + inside) / draws
  return uniform.astype(np.float32).reshape(draws, *shape)
