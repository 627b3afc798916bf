"""Reads the tracks of a face (mouth, pose, ...) off one picture.

A few strided convolutions, then a dense layer over the whole grid, because the
place of a feature is what tells the pose.

Dimension key:  B pictures, ..YX3 pictures, K numbers of a track, D features.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
  """What the probe reads, and its size.

  Attributes:
    size: rows and columns of a picture.
    tracks: (name, numbers) of each continuous track.
    classes: (name, classes) of each categorical track.
    widths: channels of the convolutions; each halves the grid.
    hidden: width of the dense layer.
  """

  size: int
  tracks: tuple[tuple[str, int], ...]
  classes: tuple[tuple[str, int], ...]
  widths: tuple[int, ...] = (24, 48, 64, 96)
  hidden: int = 96


class Probe(nn.Module):
  """Pictures [B, Y, X, 3] in [0, 1] -> {track: [B, K]}, logits for classes.

  Without normalisation layers: on a CPU they would cost as much as all the
  convolutions, and four layers train without.
  """

  config: ProbeConfig

  @nn.compact
  def __call__(self, pictures_BYX3):
    """Reads every track of every picture."""
    he = nn.initializers.he_normal()
    grid_BYXD = _halved(4 * (pictures_BYX3 - 0.5))
    for index, width in enumerate(self.config.widths):
      stride = 1 if index == 0 else 2
      grid_BYXD = jax.nn.relu(
        nn.Conv(width, (3, 3), strides=stride, kernel_init=he)(grid_BYXD)
      )
    flat_BD = grid_BYXD.reshape(len(grid_BYXD), -1)
    hidden_BD = nn.Dense(self.config.hidden, kernel_init=he)(flat_BD)
    hidden_BD = jax.nn.relu(hidden_BD)
    return {
      name: nn.Dense(size, name=name)(hidden_BD).astype(jnp.float32)
      for name, size in (*self.config.tracks, *self.config.classes)
    }


def _halved(pictures_BYX3):
  """Squares of 2 x 2 pixels become the channels of one cell."""
  batch, rows, columns, channels = pictures_BYX3.shape
  cells = pictures_BYX3.reshape(
    batch, rows // 2, 2, columns // 2, 2, channels
  ).transpose(0, 1, 3, 2, 4, 5)
  return cells.reshape(batch, rows // 2, columns // 2, 4 * channels)
