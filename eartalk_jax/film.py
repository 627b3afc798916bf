"""What goes into a generation and comes out of it, chunk by chunk.

Dimension key: B videos, T steps, t frames or steps of a chunk, A vectors in a
frame, F numbers in a vector, Y X picture.
"""

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.spans import first_made


class Film:
  """Puts the frames of a generation together: none too early, none too many.

  Attributes:
    frames: that are known to be wanted, so far.
  """

  def __init__(self, tokenizer, portraits_BYX3):
    """Of a Tokenizer, and the picture that each video begins with."""
    self._first_B1YX3 = portraits_BYX3[:, None]
    if not first_made(tokenizer.stride):
      self._first_B1YX3 = self._first_B1YX3[:, :0]
    self._late = tokenizer.delay * tokenizer.stride
    self._shown = 0
    self.frames = 0

  def take(self, made_BtYX3):
    """The frames to show, of those that the next steps have made."""
    late = min(self._late, made_BtYX3.shape[1])
    self._late -= late
    frames_BtYX3 = made_BtYX3[:, late:]
    if frames_BtYX3.shape[1] and not self._shown:
      frames_BtYX3 = np.concatenate([self._first_B1YX3, frames_BtYX3], axis=1)
    frames_BtYX3 = frames_BtYX3[:, : self.frames - self._shown]
    self._shown += frames_BtYX3.shape[1]
    return frames_BtYX3


def checked_features(piece, shape_BAF):
  """A piece of features as float32 [B t A F].

  Raises:
    UserError: it has another shape, or is not finite.
  """
  b, a, f = shape_BAF
  try:
    piece = np.asarray(piece, np.float32)
    shape = piece.shape
  except (TypeError, ValueError):
    shape = "of no array of numbers"
  if len(shape) != 4 or (shape[0], *shape[2:]) != (b, a, f):
    raise UserError(
      f"the features have shape {shape}; [{b}, frames, {a}, {f}] is needed"
    )
  if not np.isfinite(piece).all():
    raise UserError("the features hold NaN or infinite numbers")
  return piece


def check_fine(fine_TB, start, stride):
  """Raises UserError for steps whose frames are no pictures.

  Args:
    fine_TB: whether the numbers of a step are finite.
    start: number of the first frame.
    stride: frames of a step.
  """
  if not fine_TB.all():
    step, row = np.argwhere(~fine_TB)[0]
    raise UserError(
      f"frame {start + step * stride} of video {row} is no picture (its "
      "numbers are not finite): bring guidance, temperature and controls "
      "nearer to what is usual, or sample another checkpoint"
    )
