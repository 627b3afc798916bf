"""What a latent hears: the features of its frames and of their neighbours.

Dimension key: leading ... streams, T frames, t latents, P frames that a latent
hears, A vectors in a frame, F numbers in a vector.
"""

import dataclasses

import numpy as np

from eartalk_jax.bounds import array, integer
from eartalk_jax.errors import UserError
from eartalk_jax.spans import first_made


@dataclasses.dataclass(frozen=True)
class Reach:
  """Which frames a latent hears: its own, `past` before and `ahead` after.

  Attributes:
    past, ahead: frames.
    stride: frames of a latent.
    silence_AF: features of what is outside of a clip.
  """

  past: int
  ahead: int
  stride: int
  silence_AF: np.ndarray

  @property
  def frames(self):
    """P."""
    return self.past + self.stride + self.ahead

  def begin(self, latent):
    """The first frame that a latent hears."""
    return latent * self.stride - self.stride + 1 - self.past

  def contexts(self, features_TAF, latents, first=0):
    """What latents hear, float32 [..., t, P*A*F].

    Args:
      features_TAF: [..., T A F]; all around them is silence.
      latents: their numbers.
      first: number of the first frame of the features.
    """
    begin_t1 = self.begin(np.asarray(latents, int))[:, None] - first
    index_tP = begin_t1 + np.arange(self.frames)
    inside_tP = (index_tP >= 0) & (index_tP < features_TAF.shape[-3])
    if not features_TAF.shape[-3]:
      lead = features_TAF.shape[:-3]
      features_TAF = np.zeros((*lead, 1, *self.silence_AF.shape), np.float32)
    heard = features_TAF.take(np.where(inside_tP, index_tP, 0), axis=-3)
    heard = np.where(inside_tP[..., None, None], heard, self.silence_AF)
    return heard.reshape(*heard.shape[:-4], len(index_tP), -1)


class Heard:
  """Features of streams as they come, contexts as soon as they are known.

  Attributes:
    latent: number of the next one.
    end: frames that are known, silence after the end included.
  """

  def __init__(self, reach, lead=()):
    """Nothing is heard yet.

    Args:
      reach: Reach.
      lead: shape of the leading axes.
    """
    self._reach = reach
    self.latent = first_made(reach.stride)
    self.end = 0
    # The last frames that were heard, and the number of the first of them.
    self._heard_TAF = np.zeros((*lead, 0, *reach.silence_AF.shape), np.float32)
    self._first = 0

  @property
  def ready(self):
    """Latents whose speech is known, look-ahead included."""
    return self.ready_at(self.end)

  def ready_at(self, end):
    """The same, if all frames up to number `end` were known."""
    reach = self._reach
    beyond = end - reach.begin(self.latent) - reach.frames
    return max(beyond // reach.stride + 1, 0)

  def end_of(self, latents):
    """Up to which frame `latents` in all hear."""
    last = first_made(self._reach.stride) + latents - 1
    return self._reach.begin(last) + self._reach.frames

  def push(self, features_TAF):
    """Takes the features of the next frames, [..., T A F]."""
    self._heard_TAF = np.concatenate([self._heard_TAF, features_TAF], axis=-3)
    self.end += features_TAF.shape[-3]

  def finish(self, latents):
    """Nothing but silence follows, up to where `latents` can be made in all."""
    self.end = max(self.end, self.end_of(latents))

  def at(self, later, count=1):
    """What `count` latents hear, [..., count, P*A*F]; 0 later is the next."""
    latents = self.latent + later + np.arange(count)
    return self._reach.contexts(self._heard_TAF, latents, self._first)

  def advance(self, count=1):
    """Forgets what only the next latents need: those after them are next."""
    self.latent += count
    unused = max(self._reach.begin(self.latent) - self._first, 0)
    unused = min(unused, self._heard_TAF.shape[-3])
    self._heard_TAF = self._heard_TAF[..., unused:, :, :]
    self._first += unused

  def save(self):
    """Everything heard and not yet used, as a dictionary."""
    return {
      "heard": self._heard_TAF,
      "first": self._first,
      "end": self.end,
      "latent": self.latent,
    }

  def load(self, saved):
    """Goes on where `saved` was taken; UserError if it does not fit."""
    first, end, latent = (
      integer(saved[name], name, 0, 2**31 - 1)
      for name in ("first", "end", "latent")
    )
    shape = None, *self._reach.silence_AF.shape
    heard_TAF = array(saved["heard"], "features", np.float32, *shape)
    if (
      first > max(self._reach.begin(latent), 0) or first + len(heard_TAF) > end
    ):
      raise UserError(f"features of {len(heard_TAF)} frames do not fit")
    self._first, self.end, self.latent = first, end, latent
    self._heard_TAF = heard_TAF
