"""What a frame hears: its own features and those of its neighbours.

Dimension key: B streams, T frames (t of a chunk), A mel steps in a frame, F mel
bins.
"""

import numpy as np

from eartalk_jax.audio import SILENCE


def contexts(mel_BTAF, past, ahead, chunk):
  """Cuts features into chunks of frames with their neighbours joined.

  Args:
    mel_BTAF: features [B T A F], or an iterator of pieces of them.
    past, ahead: neighbours on either side; outside there is digital silence.
    chunk: frames in a chunk; the last may be shorter.

  Yields:
    [B t F'] as `audio.frame_context` would give for the whole, t <= chunk.
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
    piece = np.asarray(piece, np.float32)
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
