"""A portrait from any picture file, cropped as the training clips were."""

import dataclasses

import numpy as np
from PIL import Image

from data_pipelines import crops
from data_pipelines.faces import STRONG, load_detector
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError
from eartalk_jax.export.picture_files import (
  PictureError,
  centre_square,
  read_picture,
  shown,
)

# Detectors see pictures of at most that many pixels a side.
_DETECT_SIDE = 640


def load_portrait(path, size, faces="cascade"):
  """Reads a picture: upright, in colour, opaque, cropped to the face.

  Args:
    path: a picture file as `picture_files.read_picture` takes it.
    size: side of the result, in pixels.
    faces: "cascade", "whole" (the centre square is the crop) or
      "package.module:function".

  Returns:
    uint8 [size, size, 3]. Of several faces the largest is taken.

  Raises:
    UserError: no such file, no picture, too small or large, or no face is
      found.
  """
  detect = load_detector(faces)
  try:
    image = read_picture(path)
  except PictureError as error:
    raise UserError(str(error)) from None
  if detect is None:
    return centre_square(image, size)
  still = _Still(image)
  return crops.crop_picture(still, _face_crop(path, still, detect), size)


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
      f"{shown(path)}: no face was found; crop the picture to a square around "
      "the head and add --faces whole"
    ) from None
