"""Whether as much moves as in the real video, flicker included."""

import numpy as np

from eartalk_jax.evaluation import scores
from eartalk_jax.evaluation.figures import chosen

_STILL = 1e-9


class MotionRatio:
  """Mean change from frame to frame, over that of the real frames."""

  figures = tuple(chosen("motion_ratio").values())
  needs = ()
  over = ("", "_tokenizer")

  def start(self):
    """[(change in the video, in the real one)], in grey levels."""
    return []

  def push(self, state, seen, clip):
    """See `Metric`."""
    videos = seen.video_TYX3, clip.frames_TYX3
    state.append([scores.motion(video_TYX3) for video_TYX3 in videos])

  def finish(self, state):
    """See `Metric`."""
    moved, real = zip(*state, strict=True)
    ratio = np.mean(moved) / max(np.mean(real), _STILL)
    return {"motion_ratio": (float(ratio), None)}
