"""What a network of the kind `wan` is made of, and the published ones."""

import dataclasses

from eartalk_jax.config import check_range
from eartalk_jax.tokenizers import pretrained


@dataclasses.dataclass(frozen=True)
class Config:
  """By the names of diffusers, its spelling of `temperal_downsample` too.

  Attributes:
    size: rows and columns of a picture.
    base_dim: width of the encoder at full resolution.
    decoder_base_dim: of the decoder; None: the same.
    z_dim: C.
    dim_mult: widths at each resolution, in units of that.
    num_res_blocks: residual blocks of one; the decoder has one more.
    temperal_downsample: whether frames are halved too on the way to the next
      resolution.
    is_residual: shortcuts around whole levels, as in version 2.2.
    patch_size: pixels on a side that are joined first; None: 1.
  """

  size: int
  base_dim: int = 96
  decoder_base_dim: int | None = None
  z_dim: int = 16
  dim_mult: tuple[int, ...] = (1, 2, 4, 4)
  num_res_blocks: int = 2
  temperal_downsample: tuple[bool, ...] = (False, True, True)
  is_residual: bool = False
  patch_size: int | None = None

  def __post_init__(self):
    check_range(self, 2, 65_536, "base_dim")
    check_range(self, 1, 4096, "z_dim")
    check_range(self, 1, 64, "num_res_blocks")
    if self.decoder_base_dim is not None:
      check_range(self, 2, 65_536, "decoder_base_dim")
    if self.patch_size is not None:
      check_range(self, 1, 64, "patch_size")
    if not 2 <= len(self.dim_mult) <= 8:
      raise ValueError("dim_mult must have 2 to 8 entries")
    if not all(1 <= factor <= 1024 for factor in self.dim_mult):
      raise ValueError("dim_mult must be of numbers from 1 to 1024")
    if len(self.temperal_downsample) != len(self.dim_mult) - 1:
      raise ValueError(
        f"temperal_downsample must have {len(self.dim_mult) - 1} entries, one "
        "less than dim_mult"
      )
    pretrained.check_size(self, self.factor)
    self._check_shortcuts()

  def _check_shortcuts(self):
    """Shortcuts of whole levels share channels out evenly, or cannot be."""
    if not self.is_residual:
      return
    for numbers, channels in [*self._down(), *self._up()]:
      if numbers % channels:
        raise ValueError(
          f"is_residual: {numbers} numbers of a place cannot be shared out "
          f"among {channels} channels; correct dim_mult"
        )

  def _down(self):
    """Numbers of a place that become channels, at each level."""
    widths, last = self.encoder_widths, len(self.dim_mult) - 1
    for level, in_time in enumerate((*self.temperal_downsample, False)):
      pixels = (4 if level < last else 1) * (2 if in_time else 1)
      yield widths[level] * pixels, widths[level + 1]

  def _up(self):
    """Numbers of a place that channels become, at each level but the last."""
    widths = self.decoder_widths
    for level, in_time in enumerate(self.doubled_in_time):
      yield widths[level + 1] * (8 if in_time else 4), widths[level]

  @property
  def encoder_widths(self):
    """Of its first convolution, and after each level."""
    return [self.base_dim * factor for factor in (1, *self.dim_mult)]

  @property
  def decoder_widths(self):
    """Of its middle, and of each level, the coarsest first."""
    factors = self.dim_mult[-1], *reversed(self.dim_mult)
    return [(self.decoder_base_dim or self.base_dim) * f for f in factors]

  @property
  def doubled_in_time(self):
    """For each level of the decoder but the last."""
    return tuple(reversed(self.temperal_downsample))

  @property
  def stride(self):
    """Frames of a latent after the first."""
    return 2 ** sum(self.temperal_downsample)

  @property
  def patch(self):
    """Pixels on a side that the network sees as one place."""
    return self.patch_size or 1

  @property
  def factor(self):
    """Pixels on a latent's side."""
    return self.patch * 2 ** (len(self.dim_mult) - 1)

  @property
  def latent_shape(self):
    """(h, w, C)."""
    side = self.size // self.factor
    return side, side, self.z_dim


PUBLISHED = {
  "wan2.1": Config(512),
  "wan2.2": Config(
    512,
    base_dim=160,
    decoder_base_dim=256,
    z_dim=48,
    is_residual=True,
    patch_size=2,
  ),
}

# Latents of Wan 2.1 before normalisation. Those of 2.2 come with its file.
MEAN = (
  *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
  *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
STD = (
  *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
  *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
