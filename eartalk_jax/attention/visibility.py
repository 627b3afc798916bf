"""Who sees whom: which blocks' frame tokens a block's queries may see.

Every form of attention takes one of these; nothing else says who sees whom.

Dimension key: T blocks, Q blocks that ask, R blocks that are asked.
"""

import dataclasses
from typing import Protocol


class Visibility(Protocol):
  """A rule over block numbers, which are counted from the clip's beginning.

  The blocks that may see a block are neighbours of one another, itself among
  them.

  Attributes:
    before, after: how many blocks before its own and after it one may see, at
      most.
    period: numbers may be shifted by its multiples: where a clip is split over
      devices, each has a multiple of so many blocks.
  """

  before: int
  after: int
  period: int

  def visible(self, query_Q, key_R):
    """[..., Q R] bool: may the blocks [..., Q] see the blocks [..., R]."""


@dataclasses.dataclass(frozen=True)
class Causal:
  """The last `window` blocks, a block's own included (EARTalking)."""

  window: int

  after, period = 0, 1

  @property
  def before(self):
    """See `Visibility`."""
    return self.window - 1

  def visible(self, query_Q, key_R):
    """See `Visibility`."""
    age_QR = query_Q[..., :, None] - key_R[..., None, :]
    return (age_QR >= 0) & (age_QR < self.window)


@dataclasses.dataclass(frozen=True)
class Around:
  """All blocks within `reach`, in both directions (DAWN)."""

  reach: int

  period = 1

  @property
  def before(self):
    """See `Visibility`."""
    return self.reach

  @property
  def after(self):
    """See `Visibility`."""
    return self.reach

  def visible(self, query_Q, key_R):
    """See `Visibility`."""
    age_QR = query_Q[..., :, None] - key_R[..., None, :]
    return (age_QR >= -self.reach) & (age_QR <= self.reach)


@dataclasses.dataclass(frozen=True)
class Chunks:
  """The own chunk of `chunk` blocks and the `past` chunks before it (REST)."""

  chunk: int
  past: int

  @property
  def before(self):
    """See `Visibility`."""
    return (self.past + 1) * self.chunk - 1

  @property
  def after(self):
    """See `Visibility`."""
    return self.chunk - 1

  @property
  def period(self):
    """See `Visibility`."""
    return self.chunk

  def visible(self, query_Q, key_R):
    """See `Visibility`."""
    query_Q, key_R = query_Q // self.chunk, key_R // self.chunk
    age_QR = query_Q[..., :, None] - key_R[..., None, :]
    return (age_QR >= 0) & (age_QR <= self.past)
