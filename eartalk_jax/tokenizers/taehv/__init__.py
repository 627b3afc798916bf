"""The kind `taehv`: a tiny decoder of a video tokenizer's latents.

madebyollin/taehv, whose taew2_1 decodes latents of Wan 2.1: normalised ones, so
that its mean is 0 and its deviation 1. A latent becomes 4 frames; of the first
one 3 are dropped.

It encodes nothing here. The original's encoder makes latent 0 of frames 0 to 3
and latent 1 of frames 4 to 7: three frames later than those that Wan's latents
show and that a stream has by then. So it is half of a `pair`.

Dimension key: B clips, s = 4 frames of a latent, Y X picture, h w latent grid,
C channels.
"""

import dataclasses
import functools
import re
import sys

import jax
import jax.numpy as jnp

from eartalk_jax.config import check_range
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import foreign as to_foreign
from eartalk_jax.tokenizers import pretrained
from eartalk_jax.tokenizers.pretrained import Pretrained
from eartalk_jax.tokenizers.taehv.network import (
  FACTOR,
  GROWTH,
  Decoder,
  memory_shapes,
)

_KIND = sys.modules[__name__]
_FIRST, _LAST = "decoder.1.weight", "decoder.22.weight"
_WIDTHS = "decoder.8.weight", "decoder.14.weight", "decoder.20.weight"
_MEMORY = "decoder.3.conv.0.weight"


@dataclasses.dataclass(frozen=True)
class Config:
  """What the network is made of.

  Attributes:
    size: rows and columns of a picture.
    latent_channels: C.
    patch_size: pixels on the side of what the last convolution makes at once.
    decoder_widths: at each of three resolutions, beginning with the latents',
      and at the picture's.
  """

  size: int
  latent_channels: int = 16
  patch_size: int = 1
  decoder_widths: tuple[int, int, int, int] = (256, 128, 64, 64)

  def __post_init__(self):
    check_range(self, 1, 4096, "latent_channels")
    check_range(self, 1, 16, "patch_size")
    if not all(0 < width <= 65_536 for width in self.decoder_widths):
      raise ValueError("decoder_widths must be 1 to 65536 each")
    pretrained.check_size(self, self.factor)

  @property
  def factor(self):
    """Pixels on a latent's side."""
    return FACTOR * self.patch_size

  @property
  def latent_shape(self):
    """(h, w, C)."""
    side = self.size // self.factor
    return side, side, self.latent_channels


# By the name of what was published: its configuration at 512 px.
PUBLISHED = {
  "taew2_1": Config(512),
  "taew2_2": Config(512, latent_channels=48, patch_size=2),
}


class TaehvTokenizer(Pretrained):
  """The decoder's part of a Tokenizer; see the package `tokenizers`."""

  kind = "taehv"
  stride, delay = GROWTH[1] * GROWTH[2], 0

  def encode_portrait(self, params, picture_BYX3):
    """Nothing.

    Raises:
      UserError: always.
    """
    raise UserError(
      "a taehv tokenizer has a decoder alone; import the tokenizer whose "
      "latents it decodes, such as Wan's, with --decoder and this one's folder"
    )

  init_encode = encode_portrait

  def encode_step(self, params, state, frames_BsYX3):
    """As `encode_portrait`."""
    return self.encode_portrait(params, frames_BsYX3)

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    """See `Tokenizer`; at 512 px the state is 22 million numbers."""
    del portrait_BYX3
    shapes = memory_shapes(self.config, portrait_BhwC.shape[0])
    nothing = tuple(jnp.zeros(shape, jnp.float32) for shape in shapes)
    # Its frames are void: three of them are none, and the fourth is known.
    state, _ = self.decode_step(params, nothing, portrait_BhwC)
    return state

  def decode_step(self, params, state, latent_BhwC):
    """See `Tokenizer`."""
    raw_B1hwC = self.raw(latent_BhwC)[:, None]
    network = Decoder(self.config)
    variables = {"params": params["decoder"]}
    frames_BsYX3, state = network.apply(variables, raw_B1hwC, state)
    return state, jnp.clip(frames_BsYX3, 0.0, 1.0)


def abstract(config):
  """The tokenizer with shapes for weights."""

  def init():
    nothing = [jnp.zeros(shape) for shape in memory_shapes(config, 1)]
    latents_11hwC = jnp.zeros((1, 1, *config.latent_shape))
    made = Decoder(config).init(jax.random.key(0), latents_11hwC, nothing)
    return {"decoder": made["params"]}

  return pretrained.abstract(TaehvTokenizer, config, init)


load = functools.partial(pretrained.load, _KIND)
rules = functools.partial(pretrained.rules, _KIND)


def recognises(source):
  """Whether a Source is a TAEHV of the one form that is known here."""
  return {_FIRST, _LAST, _MEMORY, *_WIDTHS} <= set(source.names)


def imported(source, size):
  """The tokenizer of a TAEHV's file, for pictures of `size` pixels.

  The file has no config.json: its tensors say what it is made of.

  Raises:
    UserError: it is another network, such as one of the `super` ones, or not
      whole.
  """
  if not recognises(source):
    raise UserError(
      f"{source.where}: it lacks {_FIRST} or others of a TAEHV's decoder; it "
      "is cut off, or of a form that is not known here, as `super` ones are"
    )
  shapes = {
    name: source.tensor(name).shape for name in (_FIRST, _LAST, *_WIDTHS)
  }
  for name, shape in shapes.items():
    if len(shape) != 4:
      raise UserError(
        f"{source.where}: the tensor {name} is {list(shape)}, which is no "
        "convolution; get the file again"
      )
  widths = [shapes[name][0] for name in (_FIRST, *_WIDTHS)]
  patch = round((shapes[_LAST][0] / 3) ** 0.5)
  try:
    config = Config(size, shapes[_FIRST][1], patch, tuple(widths))
  except ValueError as error:
    raise UserError(f"{source.where}: {error}") from error
  unused = [re.escape("encoder.") + ".*"]
  return pretrained.filled(_KIND, config, source, (0.0, 1.0), unused)


def foreign(tokenizer):
  """({}, {name: array}) of the decoder, as TAEHV names it.

  Its file has an encoder too, which is not kept here.
  """
  return {}, to_foreign(tokenizer.arrays(), rules(tokenizer.config))
