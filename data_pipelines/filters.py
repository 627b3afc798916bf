"""Which stored sub-clips the dataset shows, decided by their scores alone.

Scores are computed once, while a sub-clip is decoded, and stored; so filters
can be changed at any time without decoding anything again.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Filter:
  """A bound on one score.

  Attributes:
    option: name of the limit, "min_..." or "max_..." and so which bound.
    score: the score it looks at.
    default: the limit unless the user gives one; infinity is no limit.
    reason: what a sub-clip beyond the limit is counted as.
    help: what the score is, with its unit.
  """

  option: str
  score: str
  default: float
  reason: str
  help: str

  def passes(self, value, limit):
    """Whether a score is within the limit."""
    return value >= limit if self.option.startswith("min_") else value <= limit


# The order decides which reason is given to what fails in several ways.
FILTERS = (
  Filter("min_seconds", "seconds", 1.0, "too_short", "length in seconds"),
  Filter(
    "min_loudness",
    "loudness",
    -60.0,
    "silent_audio",
    "level of the sound in dB below full scale",
  ),
  Filter(
    "max_second_face",
    "second_face",
    0.5,
    "two_faces",
    "share of the samples that show another face",
  ),
  Filter(
    "max_face_gap",
    "face_gap",
    1.5,
    "face_leaves",
    "longest time in seconds without the face",
  ),
  Filter(
    "max_face_motion",
    "face_motion",
    0.7,
    "face_moves",
    "farthest way of the face from its usual place, in face widths",
  ),
  Filter(
    "min_zoom",
    "zoom",
    0.5,
    "low_resolution",
    "source pixels per pixel of the crop, along a line",
  ),
  Filter(
    "min_sharpness",
    "sharpness",
    0.0,
    "blurred",
    "mean size of the crop's Laplacian, of 255",
  ),
  Filter(
    "min_motion",
    "motion",
    0.0,
    "still",
    "mean change from frame to frame, of 255",
  ),
  Filter(
    "max_length_difference",
    "length_difference",
    math.inf,
    "av_mismatch",
    "seconds by which the file's sound and picture differ in length",
  ),
)


def verdict(scores, limits):
  """The reason for which a sub-clip is left out; None if it stays.

  Args:
    scores: name -> number, as stored with the sub-clip.
    limits: option -> number.
  """
  for rule in FILTERS:
    if not rule.passes(scores[rule.score], limits[rule.option]):
      return rule.reason
  return None
