"""Temporal positions: rotary on the distance in frames, never on absolute time.

A query sits at 0; a key that is `a` frames old sits at -a. The sink frame sits
at one reserved distance from every query, one frame beyond the oldest block of
the window, whatever the age of the stream. So frame 1,000,000 is computed as
frame 100 is.
"""

import jax.numpy as jnp

# Distances are at most the window plus one, so wavelengths beyond a few
# hundred frames would be flat anyway; a flat rest is left for content.
_ROTARY_BASE = 100.0


def sink_position(window):
  """Position of the sink seen from any query: just beyond the window."""
  return -(window + 1.0)


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
  rates = _ROTARY_BASE ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angle = jnp.multiply.outer(jnp.asarray(position, jnp.float32), rates)
  angle = angle.reshape((1,) * (x.ndim - angle.ndim) + angle.shape)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = (first * cos - second * sin, first * sin + second * cos)
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
