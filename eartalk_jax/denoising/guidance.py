"""Classifier-free guidance with a scale for each signal, in one call.

  out = full + sum over signals s of (scale_s - 1) * (full - without s)

A guided signal adds one branch of rows, in which it is replaced by its null;
all branches go through the network as one batch. Scale 1 changes nothing.

Dimension key: B streams; Z branches, the full one first.
"""

import numbers

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.bounds import number, shown
from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError


@flax.struct.dataclass
class Guidance:
  """Which signals are guided, and how hard each stream's are.

  Attributes:
    scales: {signal: scale_B}, "audio" or a control's name. The names shape the
      program; the scales are arrays, so changing them compiles nothing.
  """

  scales: dict

  def repeat(self, x):
    """[B ...] -> [Z*B ...], the same for all branches."""
    return jnp.tile(x, (1 + len(self.scales),) + (1,) * (x.ndim - 1))

  def branches(self, signals):
    """A frame's Signals [B] -> those of all branches [Z*B]."""
    out = jax.tree.map(self.repeat, signals)
    rows = signals.audio.given.shape[0]
    for index, name in enumerate(sorted(self.scales), start=1):
      part = slice(index * rows, (index + 1) * rows)
      out = out.put(name, out[name].hidden(part))
    return out

  def first(self, x):
    """The rows of the full branch."""
    return x[: x.shape[0] // (1 + len(self.scales))]

  def combine(self, out, ramp=1.0):
    """What the branches predict [Z*X ...] -> the guided prediction [X ...].

    Args:
      out: X is B, or a multiple of it with the rows of a stream side by side.
      ramp: share of the scales' excess over 1 that counts already.
    """
    if not self.scales:
      return out
    full, *without = jnp.split(out, 1 + len(self.scales))
    guided = full
    for name, other in zip(sorted(self.scales), without, strict=True):
      scale_B = self.scales[name]
      scale = jnp.repeat(scale_B, full.shape[0] // scale_B.shape[0])
      scale = scale.reshape(scale.shape + (1,) * (full.ndim - 1))
      guided = guided + ramp * (scale - 1) * (full - other)
    return guided


NO_GUIDANCE = Guidance({})
# Pictures fall apart from 10 or so on, numbers far beyond this.
STRONGEST = 100


def make_guidance(config, scales, rows):
  """Checks a user's {signal: scale} and spreads each over `rows` streams.

  Raises:
    UserError: the model has no such signal, or a scale is no number, or none
      from -STRONGEST to STRONGEST.
  """
  known = ["audio", *(control.name for control in config.controls)]
  if not isinstance(scales, dict):
    raise UserError(f"guidance: {shown(scales)}; give {{signal: scale}}")
  for name in scales:
    if not isinstance(name, str) or name not in known:
      raise UserError(
        f"guidance: unknown signal {shown(name)}; {nearest(str(name), known)}"
      )
  return Guidance(
    {name: _scale_B(name, scale, rows) for name, scale in scales.items()}
  )


def parse_scale(name, scale):
  """One stream's guidance of a signal; UserError if it is no such number."""
  return number(scale, f"guidance: {name}", -STRONGEST, STRONGEST)


def _scale_B(name, scale, rows):
  if isinstance(scale, numbers.Real):
    scale = [scale] * rows
  try:
    scale_B = np.asarray(scale)
  except ValueError:  # lists in it
    scale_B = np.zeros(())
  if scale_B.shape != (rows,):
    raise UserError(
      f"guidance: {name} = {shown(scale)}; one number is needed, or one for "
      f"each of {rows} streams"
    )
  scales = [parse_scale(name, scale) for scale in scale_B.tolist()]
  return np.asarray(scales, np.float32)
