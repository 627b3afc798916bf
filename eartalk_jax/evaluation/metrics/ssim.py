"""How much of the real pictures' structure the tokenizer keeps."""

import numpy as np

from eartalk_jax.evaluation import scores
from eartalk_jax.evaluation.figures import chosen

_EVERY = 10


class Ssim:
  """Mean SSIM of every tenth frame, counted through all clips."""

  figures = tuple(chosen("tokenizer_ssim").values())
  needs = ()
  over = ("_tokenizer",)

  def start(self):
    """[SSIM of a frame; None of those between]."""
    return []

  def push(self, state, seen, clip):
    """See `Metric`."""
    for pair in zip(seen.video_TYX3, clip.frames_TYX3, strict=True):
      due = len(state) % _EVERY == 0
      state.append(scores.ssim(*pair) if due else None)

  def finish(self, state):
    """See `Metric`."""
    return {"tokenizer_ssim": (float(np.mean(state[::_EVERY])), None)}
