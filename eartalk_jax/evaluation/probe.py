"""A probe: a small network that reads a face's tracks off decoded pixels.

It is trained on real frames only (see `probe_training`) and never sees latents,
audio or controls, so what it reads in a generated video is what is to be seen
there.

Dimension key:  B pictures, T frames, K numbers of a track, ..YX3 pictures.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.models.probe import Probe, ProbeConfig

_READ_AT_ONCE = 100


@dataclasses.dataclass(frozen=True)
class TrainedProbe:
  """A network with its weights and the scale of its answers.

  Attributes:
    config: the network.
    params: its weights.
    mean, spread: {continuous track: [K]}, of the training frames.
  """

  config: ProbeConfig
  params: dict
  mean: dict
  spread: dict

  def read(self, frames_TYX3):
    """Tracks of uint8 pictures: {name: [T, K]}; a class index for classes."""
    pieces = [
      _apply(self.config, self.params, _padded(piece))
      for piece in _pieces(frames_TYX3)
    ]
    read = {
      name: np.concatenate([np.asarray(piece[name]) for piece in pieces])[
        : len(frames_TYX3)
      ]
      for name in pieces[0]
    }
    for name, _ in self.config.tracks:
      read[name] = read[name] * self.spread[name] + self.mean[name]
    for name, _ in self.config.classes:
      read[name] = read[name].argmax(-1)[:, None].astype(np.float32)
    return read


def probe_config(manifest, size):
  """The probe for a frames dataset: one output for each of its tracks.

  Raises:
    UserError: the dataset has no tracks at all, or pictures of another size.
  """
  made = manifest["config"]["size"]
  if made != size:
    raise UserError(
      f"the probe's data has pictures of {made} pixels a side, but {size} are "
      f"needed; run python -m launch.prepare with --size {size}"
    )
  sizes, categories = manifest["track_sizes"], manifest["categories"]
  if not sizes:
    raise UserError(
      "the probe's data has no truth tracks, so that nothing can be measured; "
      "name a frames dataset with truth files by --probe-data"
    )
  return ProbeConfig(
    size=size,
    tracks=tuple(
      (n, k) for n, k in sorted(sizes.items()) if n not in categories
    ),
    classes=tuple((n, len(c)) for n, c in sorted(categories.items())),
  )


def _pieces(frames_TYX3):
  for start in range(0, len(frames_TYX3), _READ_AT_ONCE):
    yield frames_TYX3[start : start + _READ_AT_ONCE]


def _padded(frames_TYX3):
  """One shape for every piece, so that there is one compilation."""
  missing = _READ_AT_ONCE - len(frames_TYX3)
  return np.pad(frames_TYX3, ((0, missing), (0, 0), (0, 0), (0, 0)))


@functools.partial(jax.jit, static_argnums=0)
def _apply(config, params, frames_BYX3):
  return Probe(config).apply(params, frames_BYX3.astype(jnp.float32) / 255)
