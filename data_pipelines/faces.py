"""Detectors of faces.

A detector is any callable `detect(picture_YX3 uint8) -> [(x, y, size, score)]`:
squares from the eyebrows to the chin, in pixels of the picture, `x`, `y` their
upper left corner. Scores go from 0 to 1; a face scored below `STRONG` counts
only at a place where it was seen with a higher score at other times.
"""

import functools
import importlib

import numpy as np
from PIL import Image

from eartalk_jax.errors import UserError

STRONG = 0.5
# The shorter side of the picture in which the cascade searches.
_SIDE = 128
# Smallest face in that picture, agreeing windows asked for, score; the next
# is tried where one finds nothing.
_SEARCHES = ((40, 2, 1.0), (24, 3, 0.8), (32, 1, 0.2))


def load_detector(spec):
  """The detector that `--faces` names; None for "whole" (pre-cropped input).

  Args:
    spec: "cascade", "whole" or "package.module:function".

  Raises:
    UserError: there is no such function.
  """
  if spec == "whole":
    return None
  if spec == "cascade":
    return detect_by_cascade
  module, _, name = spec.partition(":")
  try:
    detect = getattr(importlib.import_module(module), name)
  except (Exception, SystemExit) as error:  # whatever an import may do
    raise UserError(
      f"--faces {spec}: {_said(error)}; give cascade, whole or "
      "package.module:function with the package importable from here"
    ) from None
  if not callable(detect):
    raise UserError(f"--faces {spec}: that is no function; name one")
  return functools.partial(_checked, detect, spec)


def try_detector(spec):
  """Calls a detector once, on a grey picture, so that it loads what it needs.

  Raises:
    UserError: there is none, or it fails.
  """
  detect = load_detector(spec)
  if detect is not None:
    detect(np.full((360, 640, 3), 128, np.uint8))


def _checked(detect, spec, picture_YX3):
  """Calls a detector of the user's; names it when it fails."""
  try:
    boxes = [tuple(map(float, box)) for box in detect(picture_YX3)]
  except (Exception, SystemExit) as error:
    raise _failed(spec, _said(error)) from None
  for box in boxes:
    if len(box) != 4 or not np.isfinite(box).all() or box[2] <= 0:
      raise _failed(spec, f"{box!r:.200} is not (x, y, size, score)")
  return boxes


def _failed(spec, problem):
  return UserError(f"the detector {spec} failed: {problem}; repair it")


def _said(error):
  """An exception of the user's code, on a line that is not too long."""
  text = " ".join(str(error).split())
  return f"{type(error).__name__}: {text:.200}" if text else repr(error)


def detect_by_cascade(picture_YX3):
  """scikit-image's frontal-face cascade of local binary patterns.

  Large faces first: that is four times faster and seldom wrong.
  """
  height, width = picture_YX3.shape[:2]
  scale = _SIDE / min(height, width)
  grey = Image.fromarray(picture_YX3).convert("L")
  grey_YX = np.asarray(
    grey.resize((round(width * scale), round(height * scale)))
  )
  for smallest, neighbours, score in _SEARCHES:
    found = _search(grey_YX, smallest, neighbours)
    if found:
      return [
        (box["c"] / scale, box["r"] / scale, box["width"] / scale, score)
        for box in found
      ]
  return []


def _search(grey_YX, smallest, neighbours):
  return _cascade().detect_multi_scale(
    grey_YX,
    scale_factor=1.15,
    step_ratio=1.0,
    min_size=(smallest, smallest),
    max_size=(min(grey_YX.shape), min(grey_YX.shape)),
    min_neighbor_number=neighbours,
  )


@functools.cache
def _cascade():
  from skimage import data, feature

  return feature.Cascade(data.lbp_frontal_face_cascade_filename())
