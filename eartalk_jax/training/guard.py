"""Which steps are so unlike the ones before that they are not taken.

A step counts as a spike when its loss, or the logarithm of its gradient norm,
lies far above the median of the last steps that were taken:

  limit = median + sigmas * max(1.48 * median absolute deviation, floor)

Medians, because a spike that was let through must not raise the limit. The
floor keeps a very even run from being judged by its last digits. A step that
is skipped leaves these statistics as they were, so after a lasting change of
level every step is skipped: a streak of that length stops the run (`skips`).
"""

import dataclasses

import flax
import jax
import jax.numpy as jnp

from eartalk_jax.config import check_range

# Least deviations: of a loss, as a share of the median; of a log norm.
_LOSS_FLOOR, _NORM_FLOOR = 0.05, 0.1
# A normal distribution's standard deviation over its median absolute one.
_SIGMA = 1.4826
_LEAST_NORM = 1e-30


@dataclasses.dataclass(frozen=True)
class GuardConfig:
  """What is a spike, and how many are too many.

  Attributes:
    window: taken steps to compare with; before so many nothing is a spike.
    sigmas: how far off is too far; 0 skips only what is not finite.
    streak: skipped steps in a row that stop the run.
  """

  window: int = 128
  sigmas: float = 10.0
  streak: int = 20

  def __post_init__(self):
    check_range(self, 8, 10**6, "window")
    check_range(self, 1, 10**9, "streak")
    check_range(self, 0, 1e9, "sigmas")


@flax.struct.dataclass
class GuardState:
  """The last W steps that were taken, in no order; `count` of the whole run."""

  count: jax.Array
  losses: jax.Array
  log_norms: jax.Array


def init_guard(config):
  """The GuardState before the first step."""
  zeros_W = jnp.zeros(config.window)
  # Not the same buffer twice: both are donated.
  return GuardState(jnp.zeros((), jnp.int32), zeros_W, jnp.copy(zeros_W))


def limits(config, state):
  """(highest loss, highest gradient norm) that are no spike."""
  judges = (state.count >= config.window) & (config.sigmas > 0)
  loss = _limit(state.losses, config.sigmas, _LOSS_FLOOR, relative=True)
  norm = _limit(state.log_norms, config.sigmas, _NORM_FLOOR, relative=False)
  return (
    jnp.where(judges, loss, jnp.inf),
    jnp.where(judges, jnp.exp(norm), jnp.inf),
  )


def remember(state, loss, norm):
  """The GuardState after a step that is taken."""
  place = state.count % state.losses.shape[0]
  log_norm = jnp.log(jnp.maximum(norm, _LEAST_NORM))
  return GuardState(
    state.count + 1,
    state.losses.at[place].set(loss),
    state.log_norms.at[place].set(log_norm),
  )


def _limit(values_W, sigmas, floor, relative):
  median = jnp.median(values_W)
  deviation = _SIGMA * jnp.median(jnp.abs(values_W - median))
  if relative:
    floor = floor * jnp.abs(median)
  return median + sigmas * jnp.maximum(deviation, floor)
