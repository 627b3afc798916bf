"""Reads the tracks of a face (mouth, pose, ...) off one picture.

A few strided convolutions, then dense layers over the whole grid, because the
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
  widths: tuple[int, ...] = (16, 32, 64, 128)
  hidden: int = 192


class Probe(nn.Module):
  """Pictures [B, Y, X, 3] in [0, 1] -> {track: [B, K]}, logits for classes."""

  config: ProbeConfig

  @nn.compact
  def __call__(self, pictures_BYX3):
    """Reads every track of every picture."""
    grid_BYXD = 4 * (pictures_BYX3 - 0.5)
    for index, width in enumerate(self.config.widths):
      kernel = 5 if index == 0 else 3
      grid_BYXD = nn.Conv(width, (kernel, kernel), strides=2)(grid_BYXD)
      grid_BYXD = jax.nn.gelu(nn.LayerNorm()(grid_BYXD))
    flat_BD = grid_BYXD.reshape(len(grid_BYXD), -1)
    hidden_BD = jax.nn.gelu(nn.Dense(self.config.hidden)(flat_BD))
    hidden_BD = nn.LayerNorm()(hidden_BD)
    return {
      name: nn.Dense(size, name=name)(hidden_BD).astype(jnp.float32)
      for name, size in (*self.config.tracks, *self.config.classes)
    }
