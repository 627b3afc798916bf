"""What a network of `ltx` is made of, and what was published.

Lists are those of diffusers' config.json: the encoder's from the picture to the
latent, the decoder's too, so it goes through its lists backwards.
"""

import dataclasses

from eartalk_jax.config import check_range
from eartalk_jax.tokenizers import pretrained

PATCH = 4  # pixels on the side of what the first convolution sees as one
PLAIN, REARRANGED = "LTXVideoDownBlock3D", "LTXVideo095DownBlock3D"
# Of the ways down, what each divides frames and rows by.
WAYS = {
  "conv": (2, 2),
  "spatial": (1, 2),
  "temporal": (2, 1),
  "spatiotemporal": (2, 2),
}


@dataclasses.dataclass(frozen=True)
class Down:
  """A block of the encoder: residual blocks, then the way down, if any.

  Attributes:
    before, after: width of what comes and of what leaves.
    layers: residual blocks.
    way: among WAYS, or "".
    rearranged: whether the way keeps all numbers and changes the width itself;
      else a residual block does, after it.
  """

  before: int
  after: int
  layers: int
  way: str
  rearranged: bool


@dataclasses.dataclass(frozen=True)
class Up:
  """A block of the decoder: the way up, if any, then residual blocks.

  Attributes:
    before: width of what comes; features * factor, or a residual block changes
      it first.
    features: of the residual blocks.
    layers: how many.
    doubles: whether frames, rows and columns become twice as many.
    residual: whether what comes is added to the doubled.
    factor: by which the way up makes the width less.
    noisy: whether noise is added in the residual blocks.
  """

  before: int
  features: int
  layers: int
  doubles: bool
  residual: bool
  factor: int
  noisy: bool

  @property
  def widens(self):
    """Whether a residual block changes the width first."""
    return self.before != self.features * self.factor


@dataclasses.dataclass(frozen=True)
class Config:
  """The network, by the names of diffusers, and how its decoder streams.

  Attributes:
    size: rows and columns of a picture.
    latent_channels: C.
    block_out_channels, down_block_types, layers_per_block,
      spatio_temporal_scaling, downsample_type: of the encoder's blocks; layers
      also of the middle.
    decoder_block_out_channels, decoder_layers_per_block,
      decoder_spatio_temporal_scaling, decoder_inject_noise, upsample_residual,
      upsample_factor: of the decoder's; layers and noise also of the middle.
    timestep_conditioning: whether the decoder is told how noisy latents are.
    decode_timestep: what it is told, 0 to 1.
    context: latents before the one whose frames a step shows.
    delay: latents after it that the step waits for.
  """

  size: int
  latent_channels: int = 128
  block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
  down_block_types: tuple[str, ...] = (PLAIN,) * 4
  layers_per_block: tuple[int, ...] = (4, 3, 3, 3, 4)
  spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, False)
  downsample_type: tuple[str, ...] = ("conv",) * 4
  decoder_block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
  decoder_layers_per_block: tuple[int, ...] = (4, 3, 3, 3, 4)
  decoder_spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, False)
  decoder_inject_noise: tuple[bool, ...] = (False,) * 5
  upsample_residual: tuple[bool, ...] = (False,) * 4
  upsample_factor: tuple[int, ...] = (1,) * 4
  timestep_conditioning: bool = False
  decode_timestep: float = 0.05
  context: int = 2
  delay: int = 1

  def __post_init__(self):
    check_range(self, 1, 4096, "latent_channels")
    check_range(self, 0, 1, "decode_timestep")
    check_range(self, 1, 64, "context")
    check_range(self, 0, 64, "delay")
    _check_lists(self)
    for down in self.downs:
      _check_down(down)
    for up in self.ups:
      _check_up(up, self.timestep_conditioning)
    made = 2 ** sum(self.decoder_spatio_temporal_scaling)
    if (self.stride, self.factor) != (made, PATCH * made):
      raise ValueError(
        f"the encoder makes {self.stride} frames and {self.factor} rows one, "
        f"and the decoder makes {made} and {PATCH * made} of it"
      )
    pretrained.check_size(self, self.factor)

  @property
  def downs(self):
    """The encoder's blocks, from the picture on."""
    widths = self.block_out_channels
    rearranged = self.down_block_types[0] == REARRANGED
    after = widths[1:] if rearranged else (*widths[1:], widths[-1])
    blocks = zip(
      widths[: len(after)],
      after,
      self.layers_per_block[:-1],
      self.downsample_type,
      self.spatio_temporal_scaling,
      strict=True,
    )
    return tuple(
      Down(*widths_and_layers, way if scales else "", rearranged)
      for *widths_and_layers, way, scales in blocks
    )

  @property
  def middle(self):
    """The decoder's middle, a block without a way up."""
    width = self.decoder_block_out_channels[-1]
    layers, noisy = (
      self.decoder_layers_per_block[-1],
      self.decoder_inject_noise[-1],
    )
    return Up(width, width, layers, False, False, 1, noisy)

  @property
  def ups(self):
    """The decoder's blocks, from the latent on."""
    widths = self.decoder_block_out_channels[::-1]
    lists = (
      self.decoder_layers_per_block[-2::-1],
      self.decoder_spatio_temporal_scaling[::-1],
      self.upsample_residual[::-1],
      self.upsample_factor[::-1],
      self.decoder_inject_noise[-2::-1],
    )
    ups, before = [], widths[0]
    for width, layers, doubles, residual, factor, noisy in zip(
      widths, *lists, strict=True
    ):
      features = width // factor
      ups.append(Up(before, features, layers, doubles, residual, factor, noisy))
      before = features
    return tuple(ups)

  @property
  def stride(self):
    """Frames of a latent."""
    return self._down(0)

  @property
  def factor(self):
    """Pixels on a latent's side."""
    return PATCH * self._down(1)

  @property
  def latent_shape(self):
    """(h, w, C)."""
    side = self.size // self.factor
    return side, side, self.latent_channels

  def _down(self, axis):
    product = 1
    for down in self.downs:
      product *= WAYS[down.way][axis] if down.way else 1
    return product


def version(config):
  """Of "0.9.0", "0.9.1" and "0.9.5" the one that is built like this."""
  if config.down_block_types[0] == REARRANGED:
    return "0.9.5"
  return "0.9.1" if config.timestep_conditioning else "0.9.0"


def _check_lists(c):
  """Raises ValueError if lists are of wrong lengths or numbers."""
  downs, ups = len(c.down_block_types), len(c.decoder_block_out_channels)
  if not (1 <= downs <= 8 and 1 <= ups <= 8):
    raise ValueError("the encoder and the decoder must have 1 to 8 blocks")
  if len(set(c.down_block_types)) > 1 or (
    c.down_block_types[0] not in (PLAIN, REARRANGED)
  ):
    raise ValueError(
      f"down_block_types must be all {PLAIN} or all {REARRANGED}"
    )
  rearranged = c.down_block_types[0] == REARRANGED
  lengths = {
    "block_out_channels": downs + rearranged,
    "layers_per_block": downs + 1,
    "spatio_temporal_scaling": downs,
    "downsample_type": downs,
    "decoder_layers_per_block": ups + 1,
    "decoder_spatio_temporal_scaling": ups,
    "decoder_inject_noise": ups + 1,
    "upsample_residual": ups,
    "upsample_factor": ups,
  }
  for name, length in lengths.items():
    if len(getattr(c, name)) != length:
      raise ValueError(
        f"{name} has {len(getattr(c, name))} entries; beside the other lists "
        f"it needs {length}"
      )
  for name in c.downsample_type:
    if name not in WAYS or (name == "conv") == rearranged:
      raise ValueError(
        f"downsample_type {name!r} is not of {c.down_block_types[0]}"
      )
  _check_numbers(c)


def _check_numbers(c):
  for width in (*c.block_out_channels, *c.decoder_block_out_channels):
    if not 0 < width <= 65_536:
      raise ValueError(f"a width is {width}; give 1 to 65536")
  for layers in (*c.layers_per_block, *c.decoder_layers_per_block):
    if not 0 <= layers <= 64:
      raise ValueError(f"a block has {layers} layers; give 0 to 64")
  for factor in c.upsample_factor:
    if factor not in (1, 2, 4, 8):
      raise ValueError(f"upsample_factor {factor} is none of 1, 2, 4, 8")


def _check_down(down):
  """Raises ValueError if numbers cannot be rearranged between these widths."""
  if not down.rearranged:
    return
  if not down.way:
    raise ValueError(f"{REARRANGED} needs spatio_temporal_scaling")
  frames, rows = WAYS[down.way]
  volume = frames * rows**2
  if down.after % volume or down.before * volume % down.after:
    raise ValueError(
      f"block_out_channels {down.before}, {down.after} do not fit a "
      f"{down.way} way down"
    )


def _check_up(up, timed):
  """Raises ValueError where the network of diffusers cannot be run either."""
  odd = up.features * up.factor % 8 if up.residual else 0
  halved = up.factor > 1 and not up.doubles
  if odd or halved or (up.widens and (up.factor > 1 or up.noisy or timed)):
    raise ValueError(
      f"a block of the decoder from width {up.before} to {up.features} cannot "
      f"have upsample_factor {up.factor} with these settings"
    )


_OF_091 = {
  "decoder_block_out_channels": (256, 512, 1024),
  "decoder_spatio_temporal_scaling": (True,) * 3,
  "upsample_residual": (True,) * 3,
  "upsample_factor": (2,) * 3,
  "timestep_conditioning": True,
}
# By the name of what was published: its configuration at 512 px. 0.9.6 to 0.9.8
# are built like 0.9.5.
PUBLISHED = {
  "ltx0.9.0": Config(512),
  "ltx0.9.1": Config(
    512,
    decoder_layers_per_block=(5, 6, 7, 8),
    decoder_inject_noise=(True, True, True, False),
    **_OF_091,
  ),
  "ltx0.9.5": Config(
    512,
    block_out_channels=(128, 256, 512, 1024, 2048),
    down_block_types=(REARRANGED,) * 4,
    layers_per_block=(4, 6, 6, 2, 2),
    spatio_temporal_scaling=(True,) * 4,
    downsample_type=("spatial", "temporal", *("spatiotemporal",) * 2),
    decoder_layers_per_block=(5,) * 4,
    decoder_inject_noise=(False,) * 4,
    **_OF_091,
  ),
}
