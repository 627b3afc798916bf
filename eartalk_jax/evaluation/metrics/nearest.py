"""Whether it is still the person of the portrait."""

import numpy as np

from eartalk_jax.evaluation import scores
from eartalk_jax.evaluation.figures import chosen


class OwnPortraitNearest:
  """Share of videos that are nearer to their own portrait than to others'."""

  figures = tuple(chosen("own_portrait_nearest").values())
  needs = ()
  over = ("", "_ceiling")

  def start(self):
    """[(video_TYX3, its portrait_YX3)]."""
    return []

  def push(self, state, seen, clip):
    """See `Metric`."""
    state.append((seen.video_TYX3, clip.portrait_YX3))

  def finish(self, state):
    """See `Metric`."""
    portraits_BYX3 = np.stack([portrait_YX3 for _, portrait_YX3 in state])
    nearest = [
      scores.nearest_portrait(video_TYX3, portraits_BYX3) == index
      for index, (video_TYX3, _) in enumerate(state)
    ]
    return {"own_portrait_nearest": (float(np.mean(nearest)), None)}
