"""AdamW or Muon, with warm-up, decay and clipping; the decay of the average.

lr(step)     0 -> peak over the warm-up, then as `decay` says:
  cosine     half a wave down to the end fraction
  wsd        at the peak until `decay_steps` before the end (warm-up, stable,
             decay), so that one long run serves for many lengths; then down by
             1 - sqrt, which ended lower than a line for every length tried in
             arXiv 2405.18392
  constant   at the peak
ema(step)    min(decay, (1 + step) / (10 + step)): no bias at the beginning
"""

import dataclasses
import math
import re
from typing import Literal

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from eartalk_jax.config import check_range
from eartalk_jax.errors import UserError
from eartalk_jax.trees import path_name

# Muon's matrices, by name: which of the last axes a product sums over, and
# which it makes. Axes before them (of scanned layers, of a convolution's taps)
# hold a matrix each.
_MATRICES = (
  (r"(query|key|value)/kernel$", (-3,), (-2, -1)),  # [D, H, K]
  (r"merge/out/kernel$", (-3, -2), (-1,)),  # [H, K, D]
  (r"patterns$", (-3,), (-2, -1)),  # [R, N, D]
  (r"kernel$", (-2,), (-1,)),
)
# A matrix with a side as short as this goes to Adam.
_NARROW = 20
# Of an update; Adam's are about as large, so one rate serves both.
_MUON_RMS = 0.2
_NEWTON_SCHULZ_STEPS = 3


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """What the optimizer does; steps are optimizer steps.

  Attributes:
    peak_lr, warmup_steps, decay, end_lr_fraction: the learning rate.
    decay_steps: how long it falls, for decay="wsd" alone.
    matrices: "muon" orthogonalises the momentum of matrices (Jordan 2024; the
      scale is that of arXiv 2502.16982); all else goes by Adam.
    weight_decay: of kernels.
    b1, b2: Adam's.
    clip_norm: of the whole gradient.
    base_width, base_head_width: the model.width and model.head.width for which
      peak_lr was tuned, see `width_transfer`; 0 for the standard
      parametrisation, where every width has a best rate of its own.
  """

  peak_lr: float
  warmup_steps: int
  matrices: Literal["adam", "muon"] = "adam"
  decay: Literal["cosine", "wsd", "constant"] = "cosine"
  decay_steps: int = 0
  end_lr_fraction: float = 0.0
  weight_decay: float = 0.0
  b1: float = 0.9
  b2: float = 0.95
  clip_norm: float = 1.0
  base_width: int = 0
  base_head_width: int = 0

  def __post_init__(self):
    check_range(self, 1e-30, 1e3, "peak_lr")
    check_range(self, 1e-30, 1e12, "clip_norm")
    check_range(self, 0, 2**31 - 1, "warmup_steps", "decay_steps")
    check_range(self, 0, 1, "end_lr_fraction")
    check_range(self, 0, 1 - 1e-9, "b1", "b2")
    check_range(self, 0, 1e3, "weight_decay")
    if self.decay == "wsd" and self.decay_steps < 1:
      raise ValueError("decay='wsd' needs decay_steps of at least 1")
    if self.decay != "wsd" and self.decay_steps:
      raise ValueError("decay_steps is for decay='wsd'; leave it out")
    bases = self.base_width, self.base_head_width
    if min(bases) < 0 or (0 in bases and any(bases)):
      raise ValueError(
        "base_width and base_head_width are both 0 (standard parametrisation) "
        "or both widths"
      )


def learning_rate(config, steps):
  """step -> learning rate of a run of `steps` steps.

  Before the fall of "wsd" it does not depend on `steps` or `decay_steps`.
  """
  warmup = min(config.warmup_steps, steps)
  rise = optax.linear_schedule(0.0, config.peak_lr, max(warmup, 1))
  if config.decay == "cosine":
    fall = optax.cosine_decay_schedule(
      config.peak_lr, max(steps - warmup, 1), alpha=config.end_lr_fraction
    )
  elif config.decay == "wsd":
    fall = _stable_then_down(config, steps - warmup)
  else:
    fall = optax.constant_schedule(config.peak_lr)
  # The first step is not wasted on a rate of zero.
  return lambda step: jnp.where(
    step < warmup, rise(step + 1), fall(step - warmup)
  )


def _stable_then_down(config, steps):
  def rate(step):
    done = (step - steps) / config.decay_steps + 1
    left = 1 - jnp.sqrt(jnp.clip(done, 0, 1))
    end = config.end_lr_fraction
    return config.peak_lr * (end + (1 - end) * left)

  return rate


def make_optimizer(config, multipliers=None):
  """Gradients -> updates, before the learning rate (the step applies it).

  So the rate is a function of the step alone, also after skipped steps.
  Only kernels decay; scales, biases and embeddings do not.

  Args:
    config: OptimizerConfig.
    multipliers: of the updates, a tree as the parameters', if the config has a
      base width; decay is not multiplied.

  Raises:
    UserError: there is a base width and no multipliers.
  """
  if bool(config.base_width) != (multipliers is not None):
    raise UserError(
      "config: run.optimizer.base_width is for talkers; set it and "
      "base_head_width to 0"
    )
  if config.matrices == "muon":
    direction = _muon(config)
  else:
    direction = optax.scale_by_adam(config.b1, config.b2)
  if multipliers is not None:
    direction = optax.chain(direction, _multiply(multipliers))
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    direction,
    optax.add_decayed_weights(config.weight_decay, _is_kernel),
  )


def _multiply(multipliers):
  def multiply(updates, params=None):
    del params
    return jax.tree.map(lambda u, m: u * m, updates, multipliers)

  return optax.stateless(multiply)


def _muon(config):
  muon = optax.contrib.muon(
    1.0,
    ns_steps=_NEWTON_SCHULZ_STEPS,
    preconditioning="aol",  # saves an iteration (arXiv 2512.04632)
    adam_b1=config.b1,
    adam_b2=config.b2,
    muon_weight_dimension_numbers=_matrix_axes,
    consistent_rms=_MUON_RMS,
  )
  # What it returns is to be added; a step subtracts.
  return optax.chain(muon, optax.scale(-1.0))


def summed_and_made(name):
  """Axes that a matrix sums over and those that it makes; None if it is none.

  Args:
    name: of a parameter, as `trees.path_name` gives it.
  """
  for pattern, summed, made in _MATRICES:
    if re.search(pattern, name):
      return summed, made
  return None


def muon_takes(name, leaf):
  """Whether a parameter is a matrix that is not too narrow for Muon."""
  axes = summed_and_made(name)
  return axes is not None and min(_size(leaf, part) for part in axes) > _NARROW


def _matrix_axes(params):
  """MuonDimensionNumbers of every leaf; None where Adam takes it."""

  def axes(path, leaf):
    name = path_name(path)
    if not muon_takes(name, leaf):
      return None
    return optax.contrib.MuonDimensionNumbers(*summed_and_made(name))

  return jax.tree.map_with_path(axes, params)


def _size(leaf, axes):
  return math.prod(leaf.shape[axis] for axis in axes)


def ema_decay(step, decay):
  """Share of the old average that is kept at `step` (0 is the first)."""
  return jnp.minimum(decay, (1 + step) / (10 + step))


def _is_kernel(params):
  def last_name(path):
    return jax.tree_util.keystr(path[-1:], simple=True)

  return jax.tree.map_with_path(
    lambda path, _: last_name(path) == "kernel", params
  )
