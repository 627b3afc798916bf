"""AdamW with warm-up, decay and clipping, and the decay of the average.

lr(step)     0 -> peak over the warm-up, then a cosine to the end fraction
ema(step)    min(decay, (1 + step) / (10 + step)): no bias at the beginning
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """What the optimizer does; steps are optimizer steps."""

  peak_lr: float
  warmup_steps: int
  decay: Literal["cosine", "constant"] = "cosine"
  end_lr_fraction: float = 0.0
  weight_decay: float = 0.0
  b1: float = 0.9
  b2: float = 0.95
  clip_norm: float = 1.0

  def __post_init__(self):
    if self.peak_lr <= 0 or self.warmup_steps < 0 or self.clip_norm <= 0:
      raise ValueError(
        "peak_lr and clip_norm must be positive and warmup_steps not negative"
      )
    if not 0 <= self.end_lr_fraction <= 1:
      raise ValueError("end_lr_fraction must lie in [0, 1]")


def learning_rate(config, steps):
  """step -> learning rate of a run of `steps` steps."""
  warmup = min(config.warmup_steps, steps)
  rise = optax.linear_schedule(0.0, config.peak_lr, max(warmup, 1))
  if config.decay == "cosine":
    fall = optax.cosine_decay_schedule(
      config.peak_lr, max(steps - warmup, 1), alpha=config.end_lr_fraction
    )
  else:
    fall = optax.constant_schedule(config.peak_lr)
  # The first step is not wasted on a rate of zero.
  return lambda step: jnp.where(
    step < warmup, rise(step + 1), fall(step - warmup)
  )


def make_optimizer(config):
  """Gradients -> updates, before the learning rate (the step applies it).

  So the rate is a function of the step alone, also after skipped steps.
  Only kernels decay; scales, biases and embeddings do not.
  """
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.scale_by_adam(config.b1, config.b2),
    optax.add_decayed_weights(config.weight_decay, _is_kernel),
  )


def ema_decay(step, decay):
  """Share of the old average that is kept at `step` (0 is the first)."""
  return jnp.minimum(decay, (1 + step) / (10 + step))


def _is_kernel(params):
  def last_name(path):
    return jax.tree_util.keystr(path[-1:], simple=True)

  return jax.tree.map_with_path(
    lambda path, _: last_name(path) == "kernel", params
  )
