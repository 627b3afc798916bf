"""Sizes of a model for a scaling law: one rule, one geometric grid.

A size is made from a reference configuration by its width alone:

  width        a multiple of `unit`; of whole heads from five heads on
  depth        as many layers for a width as the reference has, at least one;
               one more or less where a shallow model would double its size
  heads        about `head_dim` wide
  head         its width and depth in the reference's proportions

N, the parameters that the law counts, is that of `LAW_PARTS`. The grid is
N_k = N of the reference x spacing^k, so all budgets share their sizes.
"""

import dataclasses
import functools
import math

from eartalk_jax import heads
from eartalk_jax.config import check_range
from eartalk_jax.scaling.flops import law_parameters

# Heads of a model that can have them all equally wide.
_WIDE = 5


@dataclasses.dataclass(frozen=True)
class LadderConfig:
  """The rule.

  Attributes:
    spacing: N of a size over that of the next smaller one.
    unit: widths are its multiples.
    head_dim: about so wide are the heads.
    each_side: sizes below the expected optimum of a budget, and above it.
    frames_per_param: latent frames for each parameter at the expected optimum.
    cooldown: share of a run in which its learning rate falls.
    least_steps: a shorter run says nothing.
    lr_power: a rate is the config's x (its width / the size's)^lr_power.
  """

  spacing: float
  unit: int
  head_dim: int
  each_side: int
  frames_per_param: float
  cooldown: float
  least_steps: int
  lr_power: float

  def __post_init__(self):
    check_range(self, 1.01, 100, "spacing")
    check_range(self, 1, 10**6, "unit", "head_dim")
    check_range(self, 1, 10**9, "least_steps")
    check_range(self, 1e-9, 1e9, "frames_per_param")
    check_range(self, -10, 10, "lr_power")
    if self.each_side < 3:
      raise ValueError(
        "each_side must be at least 3: a parabola through fewer than 7 sizes "
        "has no minimum that can be trusted"
      )
    check_range(self, 3, 100, "each_side")
    if self.unit % 2:
      raise ValueError("unit must be even: positions take half a head each")
    if not 0 < self.cooldown < 1:
      raise ValueError("cooldown must lie in (0, 1)")


def resized(model, width, unit, head_dim, depth=None):
  """The TalkerConfig of that width; its depth is in proportion if not given."""
  head = model.head
  head_width = max(round(width * head.width / model.width / unit), 1) * unit
  layers = depth / model.depth if depth else width / model.width
  head_depth = max(round(head.depth * layers), 1)
  head = heads.of(head).resized(
    head, head_width, _heads(head_width, head_dim), head_depth, unit
  )
  depth = max(round(model.depth * layers), 1)
  return dataclasses.replace(
    model,
    width=width,
    depth=depth,
    heads=_heads(width, head_dim),
    head=head,
    # As the reference: all layers in one step of the scan, or some.
    unroll=depth if model.unroll == model.depth else min(model.unroll, depth),
  )


def _heads(width, head_dim):
  """The number of heads of even width that are nearest to `head_dim`."""
  half = width // 2
  small = [n for n in range(1, math.isqrt(half) + 1) if half % n == 0]
  fitting = sorted({*small, *(half // n for n in small)})
  return min(fitting, key=lambda n: abs(math.log(width / n / head_dim)))


class Ladder:
  """The sizes of a model, by number: 0 is nearest to the reference."""

  def __init__(self, model, config):
    """Makes no size yet, of a TalkerConfig and a LadderConfig."""
    self._model, self._config = model, config
    self._reference = law_parameters(model)

  @functools.cache  # noqa: B019  a ladder lives as long as its plan
  def size(self, number):
    """The TalkerConfig of that number; None if no width comes near it."""
    target = self._reference * self._config.spacing**number
    model = self._nearest(target)
    if self._reached(model, target):
      return model
    depths = [model.depth + more for more in (-1, 0, 1) if model.depth + more]
    others = [self._nearest(target, depth) for depth in depths]
    others = [other for other in others if self._reached(other, target)]
    return min(others, key=self._slenderness, default=None)

  def _reached(self, model, target):
    return _distance(model, target) <= math.log(self._config.spacing) / 2

  def _slenderness(self, model):
    """How far width over depth is from that of the reference."""
    here = model.width / model.depth
    return abs(math.log(here * self._model.depth / self._model.width))

  def _nearest(self, target, depth=None, whole_heads=False):
    """The model of about `target` parameters."""
    head_dim = self._config.head_dim
    unit = head_dim if whole_heads else self._config.unit

    def of(multiple):
      return resized(self._model, multiple * unit, unit, head_dim, depth)

    high = 1
    while law_parameters(of(high)) < target:
      high *= 2
    low = high // 2
    while high - low > 1:
      middle = (low + high) // 2
      low, high = (
        (middle, high) if law_parameters(of(middle)) < target else (low, middle)
      )
    near = [of(multiple) for multiple in (low, high) if multiple]
    model = min(near, key=lambda model: _distance(model, target))
    if model.width >= _WIDE * head_dim and not whole_heads:
      return self._nearest(target, depth, whole_heads=True)
    return model


def _distance(model, target):
  return abs(math.log(law_parameters(model) / target))
