"""What a network of `dcae` is made of, and those that were published."""

import dataclasses
from typing import Literal

from eartalk_jax.config import check_range
from eartalk_jax.tokenizers import pretrained

Block = Literal["ResBlock", "EfficientViTBlock"]
Norm = Literal["rms_norm", "batch_norm"]
Activation = Literal["silu", "relu"]
Scales = tuple[int, ...]

_SCALES = (), (), (), (5,), (5,), (5,)
_WIDTHS = 128, 256, 512, 512, 1024, 1024


@dataclasses.dataclass(frozen=True)
class Config:
  """What the network is made of, by the names of diffusers.

  Whatever is said of resolutions begins with the picture's. Defaults are those
  of diffusers.

  Attributes:
    size: rows and columns of a picture.
    latent_channels: C.
    attention_head_dim: width of a head.
    encoder_block_types, decoder_block_types: kind of block, by resolution.
    encoder_block_out_channels, decoder_block_out_channels: widths.
    encoder_layers_per_block, decoder_layers_per_block: how many blocks; 0 for
      the first resolution leaves it out.
    encoder_qkv_multiscales, decoder_qkv_multiscales: sizes of kernels over the
      attention's input.
    downsample_block_type, upsample_block_type: "conv" and "interpolate" with a
      stride or repeated places, the others with places made of channels.
    decoder_norm_types, decoder_act_fns: of the decoder's blocks.
    encoder_out_shortcut, decoder_in_shortcut: whether means and repetitions of
      channels are added at the latents.
    decoder_conv_act_fn: before the last convolution.
  """

  size: int
  latent_channels: int = 32
  attention_head_dim: int = 32
  encoder_block_types: tuple[Block, ...] = ("ResBlock",) * 6
  decoder_block_types: tuple[Block, ...] = ("ResBlock",) * 6
  encoder_block_out_channels: tuple[int, ...] = _WIDTHS
  decoder_block_out_channels: tuple[int, ...] = _WIDTHS
  encoder_layers_per_block: tuple[int, ...] = (2, 2, 2, 3, 3, 3)
  decoder_layers_per_block: tuple[int, ...] = (3, 3, 3, 3, 3, 3)
  encoder_qkv_multiscales: tuple[Scales, ...] = _SCALES
  decoder_qkv_multiscales: tuple[Scales, ...] = _SCALES
  downsample_block_type: Literal["conv", "pixel_unshuffle"] = "pixel_unshuffle"
  upsample_block_type: Literal["interpolate", "pixel_shuffle"] = "pixel_shuffle"
  decoder_norm_types: tuple[Norm, ...] = ("rms_norm",) * 6
  decoder_act_fns: tuple[Activation, ...] = ("silu",) * 6
  encoder_out_shortcut: bool = True
  decoder_in_shortcut: bool = True
  decoder_conv_act_fn: Activation = "relu"

  def __post_init__(self):
    check_range(self, 1, 4096, "latent_channels", "attention_head_dim")
    count = len(self.encoder_block_out_channels)
    if not 2 <= count <= 10:
      raise ValueError("encoder_block_out_channels must have 2 to 10 entries")
    for name in BY_RESOLUTION:
      if len(getattr(self, name)) != count:
        raise ValueError(
          f"{name} has {len(getattr(self, name))} entries, but "
          f"encoder_block_out_channels has {count}"
        )
    for half in ("encoder", "decoder"):
      self._check_half(half)
    pretrained.check_size(self, self.factor)

  def _check_half(self, half):
    """Raises ValueError if channels cannot be shared out among each other."""
    widths = getattr(self, f"{half}_block_out_channels")
    types = getattr(self, f"{half}_block_types")
    for width, block in zip(widths, types, strict=True):
      least = max(self.head(block), 4)
      if width % 4 or not least <= width <= 65_536:
        raise ValueError(
          f"{half}_block_out_channels {width} must be a multiple of 4 and "
          f"{least} to 65536"
        )
    first, *later = getattr(self, f"{half}_layers_per_block")
    if not (0 <= first <= 64 and all(0 < x <= 64 for x in later)):
      raise ValueError(
        f"{half}_layers_per_block must be 1 to 64; the first may be 0"
      )
    used = widths if first else widths[1:]
    for one, other in zip(used, used[1:], strict=False):
      if 4 * one % other:
        raise ValueError(
          f"{half}_block_out_channels {other} does not divide 4 x {one}"
        )
    if widths[-1] % self.latent_channels:
      raise ValueError(
        f"{half}_block_out_channels {widths[-1]} is no multiple of "
        f"latent_channels {self.latent_channels}"
      )
    for scales in getattr(self, f"{half}_qkv_multiscales"):
      if not all(0 < size < 100 and size % 2 for size in scales):
        raise ValueError(f"{half}_qkv_multiscales must be odd sizes of kernels")

  @property
  def factor(self):
    """Pixels on a latent's side."""
    return 2 ** (len(self.encoder_block_out_channels) - 1)

  @property
  def latent_shape(self):
    """(h, w, C)."""
    side = self.size // self.factor
    return side, side, self.latent_channels

  def head(self, block):
    """Width of a head of that type of block, 0 if it has none."""
    return self.attention_head_dim * (block == "EfficientViTBlock")


BY_RESOLUTION = (
  "encoder_block_types",
  "decoder_block_types",
  "encoder_block_out_channels",
  "decoder_block_out_channels",
  "encoder_layers_per_block",
  "decoder_layers_per_block",
  "encoder_qkv_multiscales",
  "decoder_qkv_multiscales",
  "decoder_norm_types",
  "decoder_act_fns",
)


def _types(count):
  """Attention from the fourth resolution on."""
  return ("ResBlock",) * 3 + ("EfficientViTBlock",) * (count - 3)


def _of_imagenet(latent_channels, widths):
  """The in-1.0 and mix-1.0 files, f32, f64 and f128."""
  count = len(widths)
  deep = (2,) * (count - 3)
  return Config(
    512,
    latent_channels,
    encoder_block_types=_types(count),
    decoder_block_types=_types(count),
    encoder_block_out_channels=widths,
    decoder_block_out_channels=widths,
    encoder_layers_per_block=(0, 4, 8, *deep),
    decoder_layers_per_block=(0, 5, 10, *deep),
    encoder_qkv_multiscales=((),) * count,
    decoder_qkv_multiscales=((),) * count,
    decoder_norm_types=("batch_norm",) * 3 + ("rms_norm",) * (count - 3),
    decoder_act_fns=("relu",) * 3 + ("silu",) * (count - 3),
  )


# By the name of what was published: its configuration at 512 px. Those of
# mix-1.0 are the same as those of in-1.0.
PUBLISHED = {
  "dc-ae-f32c32-sana-1.1": Config(
    512,
    encoder_block_types=_types(6),
    decoder_block_types=_types(6),
    downsample_block_type="conv",
    upsample_block_type="interpolate",
  ),
  "dc-ae-f32c32-in-1.0": _of_imagenet(32, _WIDTHS),
  "dc-ae-f64c128-in-1.0": _of_imagenet(128, (*_WIDTHS, 2048)),
  "dc-ae-f128c512-in-1.0": _of_imagenet(512, (*_WIDTHS, 2048, 2048)),
}
