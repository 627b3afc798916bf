"""Temporal positions: rotary on distances in frames, bounded for ever.

relative: a key that is `a` frames old sits `a` before the query; the sink sits
  at one reserved distance from every query, one frame beyond the oldest block
  that is seen. So frame 1,000,000 is computed as frame 100 is.
cyclic (EARTalking, arXiv 2603.20307): block i sits at i mod (W + 1), the sink
  at W + 1, W being the blocks that are seen. A distance then means `a` frames
  or a - (W + 1), and the sink's changes with i; clips begin at random places in
  training, so that all of them are seen.

Dimension key: B batch, W window.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Distances are at most the window plus one, so wavelengths beyond a few
# hundred frames would be flat anyway; a flat rest is left for content.
ROTARY_BASE = 100.0


KINDS = ("relative", "cyclic")


def of_blocks(kind, block, window):
  """Positions of blocks, by their number."""
  return block % (window + 1) if kind == "cyclic" else block


def of_sink(kind, window):
  """The sink's position.

  Seen from a query that sits at 0 if relative, at its own place if cyclic.
  """
  return window + 1.0 if kind == "cyclic" else -(window + 1.0)


def of_ring(kind, count_B, age_BW, window):
  """Positions [B W] of a streamed block's window, seen from the block."""
  if kind == "cyclic":
    keys_BW = of_blocks(kind, count_B[:, None] - age_BW, window)
    return keys_BW - of_blocks(kind, count_B, window)[:, None]
  # Differences only: the numbers of an old stream would lose their last bits.
  return -age_BW


def rotate(x, position):
  """Rotates the channel pairs of `x` by `position` frames.

  Args:
    x: [..., K] queries or keys.
    position: broadcastable to x.shape[:-1]; in frames.

  Returns:
    [..., K]; dot products of two rotated vectors depend on the difference of
    their positions only.
  """
  half = x.shape[-1] // 2
  rates = np.asarray(ROTARY_BASE ** (-np.arange(half) / half), np.float32)
  xp = jnp if isinstance(position, jax.Array) else np
  angle = xp.multiply.outer(xp.asarray(position, np.float32), rates)
  angle = angle.reshape((1,) * (x.ndim - angle.ndim) + angle.shape)
  cos, sin = xp.cos(angle), xp.sin(angle)
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = (first * cos - second * sin, first * sin + second * cos)
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
