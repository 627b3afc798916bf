"""One steady square crop for a sub-clip, from faces found now and then.

Dimension key:  YX3 picture, K4 one (x, y, size, score) per sample.
"""

import dataclasses

import numpy as np
from PIL import Image

from data_pipelines.faces import STRONG
from data_pipelines.rejects import Reject

# The crop's side over the face square's: hair, chin and room for motion.
_SCALE = 2.0
# How far the crop's middle lies above the face square's, in face sizes.
_LIFT = 0.1
# Boxes belong together when their middles are nearer than this, in sizes.
_NEAR = 1.0
# A face is there if that share of the samples shows it with a good score, or
# one does and that share shows it with any score.
_SHARE, _WEAK_SHARE = 0.25, 0.5
# Smaller faces beside the main one are background.
_RIVAL = 0.5


@dataclasses.dataclass(frozen=True)
class Crop:
  """A square in pixels of the upright source picture, and how sure it is.

  Attributes:
    x, y: upper left corner, may lie outside of the picture.
    side: length.
    scores: face_gap, face_motion, second_face (see filters.FILTERS).
  """

  x: float
  y: float
  side: float
  scores: dict


def whole_picture(size):
  """The centre square of a picture of that (width, height)."""
  width, height = size
  side = min(width, height)
  scores = {"face_gap": 0.0, "face_motion": 0.0, "second_face": 0.0}
  return Crop((width - side) / 2, (height - side) / 2, side, scores)


def steady_crop(samples, period):
  """The crop around the face that most samples show.

  Args:
    samples: the detector's boxes for each sampled picture, in order.
    period: seconds between samples.

  Raises:
    Reject: no_face.
  """
  anchor, support = _most_frequent(samples)
  track = [anchor and _nearest(boxes, anchor) for boxes in samples]
  found_K4 = np.array([box for box in track if box is not None])
  seen = support >= _SHARE * len(samples)
  if not support or not (seen or len(found_K4) >= _WEAK_SHARE * len(samples)):
    raise Reject("no_face", f"in {support} of {len(samples)} pictures")
  size = np.median(found_K4[:, 2])
  centre_K2 = found_K4[:, :2] + found_K4[:, 2:3] / 2
  middle_2 = np.median(centre_K2, axis=0)
  away_K = np.abs(centre_K2 - middle_2).max(axis=1) / size
  others = [
    [b for b in boxes if not _near(b, anchor) and b[2] > _RIVAL * size]
    for boxes in samples
  ]
  side = _SCALE * size
  x, y = middle_2 - side / 2
  scores = {
    "face_gap": _longest_gap(track) * period,
    "face_motion": float(np.quantile(away_K, 0.9)),
    "second_face": _most_frequent(others)[1] / len(samples),
  }
  return Crop(float(x), float(y - _LIFT * size), float(side), scores)


def _most_frequent(samples):
  """The well scored box that the most samples have, and how many they are."""
  best, support = None, 0
  strong = [[b for b in boxes if b[3] >= STRONG] for boxes in samples]
  for box in (box for boxes in strong for box in boxes):
    votes = sum(any(_near(b, box) for b in boxes) for boxes in strong)
    if best is None or (votes, box[2]) > (support, best[2]):
      best, support = box, votes
  return best, support


def _near(box, other):
  return _distance(box, other) < _NEAR and 0.5 < box[2] / other[2] < 2


def _distance(box, other):
  """Between the middles, in sizes of `other`."""
  dx = box[0] - other[0] + (box[2] - other[2]) / 2
  dy = box[1] - other[1] + (box[2] - other[2]) / 2
  return max(abs(dx), abs(dy)) / other[2]


def _nearest(boxes, anchor):
  boxes = [box for box in boxes if _near(box, anchor)]
  return min(boxes, key=lambda b: _distance(b, anchor), default=None)


def _longest_gap(track):
  longest = run = 0
  for box in track:
    run = run + 1 if box is None else 0
    longest = max(longest, run)
  return longest


def crop_picture(frame, crop, size):
  """The crop of a `media.Frame`, scaled to uint8 [size, size, 3].

  What lies outside of the picture continues its edge.
  """
  width, height = frame.size
  # Large pictures come at thrice the resolution needed: quick, and the rest
  # is antialiased.
  scale = min(1.0, 3 * size / crop.side)
  picture_YX3 = frame.scaled(round(width * scale), round(height * scale))
  height, width = picture_YX3.shape[:2]
  x, y, side = crop.x * scale, crop.y * scale, crop.side * scale
  pad = int(np.ceil(max(-x, -y, x + side - width, y + side - height, 0)))
  if pad:
    sides = ((pad, pad), (pad, pad), (0, 0))
    picture_YX3 = np.pad(picture_YX3, sides, mode="edge")
  box = (x + pad, y + pad, x + pad + side, y + pad + side)
  image = Image.fromarray(picture_YX3)
  image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
  return np.asarray(image)
