"""A portrait from any picture file, cropped as the training clips were."""

import dataclasses
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data_pipelines import crops
from data_pipelines.faces import STRONG, load_detector
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError

# What shines through a transparent picture.
_BACKGROUND = (128, 128, 128)
# Detectors see pictures of at most that many pixels a side.
_DETECT_SIDE = 640
_SMALLEST_SIDE = 8


def load_portrait(path, size, faces="cascade"):
  """Reads a picture: upright, in colour, opaque, cropped to the face.

  Args:
    path: any picture file; of an animation the first picture is taken.
    size: side of the result, in pixels.
    faces: "cascade", "whole" (the centre square is the crop) or
      "package.module:function".

  Returns:
    uint8 [size, size, 3]. Of several faces the largest is taken.

  Raises:
    UserError: no such file, no picture, too small, or no face is found.
  """
  still = _Still(_open(path))
  if min(still.size) < _SMALLEST_SIDE:
    raise UserError(
      f"{path} has {still.size[0]} x {still.size[1]} pixels; give a portrait "
      f"of at least {_SMALLEST_SIDE}, better {size}"
    )
  detect = load_detector(faces)
  crop = crops.whole_picture(still.size)
  if detect is not None:
    crop = _face_crop(path, still, detect)
  return crops.crop_picture(still, crop, size)


@dataclasses.dataclass(frozen=True)
class _Still:
  """A picture with what `crops.crop_picture` asks of a video frame."""

  image: Image.Image

  @property
  def size(self):
    return self.image.size

  def scaled(self, width, height):
    if (width, height) == self.size:
      return np.asarray(self.image)
    scaled = self.image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(scaled)


def _open(path):
  """The picture, upright and in RGB."""
  try:
    with warnings.catch_warnings():
      # Pillow warns about large pictures long before it refuses them.
      warnings.simplefilter("ignore", Image.DecompressionBombWarning)
      with Image.open(path) as image:
        return _opaque(ImageOps.exif_transpose(image))
  except UnidentifiedImageError:
    raise UserError(
      f"{path} is not a picture; give a JPEG, PNG or WebP file"
    ) from None
  except Image.DecompressionBombError:
    raise UserError(f"{path} is too large; scale it down") from None
  except (OSError, SyntaxError, ValueError) as error:
    reason = getattr(error, "strerror", None) or error
    raise UserError(
      f"{path} cannot be read ({reason}); check --portrait"
    ) from error


def _opaque(image):
  if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
    grey_YX = np.asarray(image).astype(np.float64) / 257
    image = Image.fromarray(np.clip(grey_YX, 0, 255).astype(np.uint8))
  if not image.has_transparency_data:
    return image.convert("RGB")
  image = image.convert("RGBA")
  below = Image.new("RGBA", image.size, _BACKGROUND)
  return Image.alpha_composite(below, image).convert("RGB")


def _face_crop(path, still, detect):
  """The crop around the largest face."""
  width, height = still.size
  scale = min(1.0, _DETECT_SIDE / max(width, height))
  small_YX3 = still.scaled(round(width * scale), round(height * scale))
  # A video confirms a doubtful face by its other pictures; here one must do.
  boxes = [
    (x / scale, y / scale, side / scale, max(score, STRONG))
    for x, y, side, score in detect(small_YX3)
  ]
  try:
    return crops.steady_crop([boxes], period=0)
  except Reject:
    raise UserError(
      f"{path}: no face was found; crop the picture to a square around the "
      "head and add --faces whole"
    ) from None
