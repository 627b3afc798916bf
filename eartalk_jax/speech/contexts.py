"""What a frame hears: its own features and those of its neighbours.

Dimension key: B streams, T frames (t of a chunk), A mel steps in a frame, F mel
bins.
"""

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.speech.mel import SILENCE


def contexts(mel_BTAF, shape_BAF, past, ahead, chunk):
  """Cuts features into chunks of frames with their neighbours joined.

  Args:
    mel_BTAF: features [B T A F], or an iterator of pieces of them.
    shape_BAF: what (B, A, F) must be.
    past, ahead: neighbours on either side; outside there is digital silence.
    chunk: frames in a chunk; the last may be shorter.

  Yields:
    [B t F'] as `audio.frame_context` would give for the whole, t <= chunk.

  Raises:
    UserError: features of another shape, or that are not finite.
  """
  pieces = [mel_BTAF] if hasattr(mel_BTAF, "shape") else mel_BTAF
  waiting = None

  def ready(limit):
    """Contexts of the first frames whose look-ahead is known."""
    frames = min(waiting.shape[1] - past - ahead, limit)
    index_tP = np.arange(frames)[:, None] + np.arange(past + 1 + ahead)
    context = waiting[:, index_tP]
    return context.reshape(len(waiting), frames, -1)

  def silence(like, frames):
    shape = (like.shape[0], frames, *like.shape[2:])
    return np.full(shape, SILENCE, np.float32)

  for piece in pieces:
    piece = _checked(piece, shape_BAF)
    if waiting is None:
      waiting = silence(piece, past)
    waiting = np.concatenate([waiting, piece], axis=1)
    while waiting.shape[1] - past - ahead >= chunk:
      yield ready(chunk)
      waiting = waiting[:, chunk:]
  if waiting is None:
    return
  waiting = np.concatenate([waiting, silence(waiting, ahead)], axis=1)
  while waiting.shape[1] > past + ahead:
    yield ready(chunk)
    waiting = waiting[:, chunk:]


def _checked(piece, shape_BAF):
  """A piece of features as float32 [B t A F]."""
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
