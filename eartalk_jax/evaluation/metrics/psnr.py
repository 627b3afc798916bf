"""How near pictures are to the real ones, whose pose and speech they share."""

import numpy as np

from eartalk_jax.evaluation import scores
from eartalk_jax.evaluation.figures import chosen


class Psnr:
  """Mean PSNR over all frames, dB.

  Args:
    key: of its figure.
    over: see `Metric`.
  """

  needs = ()

  def __init__(self, key, over):
    self.figures = tuple(chosen(key).values())
    self.over = over

  def start(self):
    """[PSNR of each frame]."""
    return []

  def push(self, state, seen, clip):
    """See `Metric`."""
    pairs = zip(seen.video_TYX3, clip.frames_TYX3, strict=True)
    state += [scores.psnr(*pair) for pair in pairs]

  def finish(self, state):
    """See `Metric`."""
    return {self.figures[0].key: (float(np.mean(state)), None)}
