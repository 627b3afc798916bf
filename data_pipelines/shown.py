"""Decoded pictures as they are to be seen: upright, in their true colours."""

import dataclasses

import av
import numpy as np
from av.video.reformatter import Interpolation

from data_pipelines import hdr
from data_pipelines.rejects import Reject

# Numbers of ISO/IEC 23091-2, which the tags of video use.
_BT_709, _UNTAGGED = 1, 2
# Those that are three rows of a matrix; others need the brightness first.
_MATRICES = (0, _BT_709, _UNTAGGED, 4, 5, 6, 7, 9)
# Untagged video is BT.709 from that size on, as encoders and players take it;
# smaller is BT.601, which FFmpeg takes anyway.
_HD_LINES, _HD_COLUMNS = 720, 1280
# By that share of a right angle, 5 degrees, a picture may be turned less.
_ASKEW = 0.09


@dataclasses.dataclass(frozen=True)
class Frame:
  """A decoded source frame.

  Attributes:
    time: seconds on the file's time line.
    frame: as decoded.
    pixel_aspect: width of a pixel over its height.
    turn: see `orientation`.
  """

  time: float
  frame: av.VideoFrame
  pixel_aspect: float
  turn: tuple
  _made: dict = dataclasses.field(default_factory=dict, repr=False)

  @property
  def size(self):
    """(width, height) as it is to be seen: upright, with square pixels."""
    width = round(self.frame.width * self.pixel_aspect)
    height = self.frame.height
    return (height, width) if self.turn[0] else (width, height)

  def scaled(self, width, height):
    """The upright picture at that size, uint8 [Y, X, 3], not to be changed."""
    size = width, height
    # A still picture is the same frame thousands of times.
    if size not in self._made:
      self._made[size] = self._scaled(*size)
    return self._made[size]

  def _scaled(self, width, height):
    across, mirrored_rows, mirrored_columns = self.turn
    if across:
      width, height = height, width
    transfer = hdr.TRANSFERS.get(self.frame.color_trc)
    small = self.frame.reformat(
      width,
      height,
      "rgb48le" if transfer else "rgb24",
      src_colorspace=_matrix(self.frame),
      interpolation=Interpolation.AREA,
      threads=1,
    )
    picture_YX3 = small.to_ndarray()
    if transfer:
      picture_YX3 = hdr.to_srgb(picture_YX3, transfer)
    if across:
      picture_YX3 = picture_YX3.transpose(1, 0, 2)
    if mirrored_rows:
      picture_YX3 = picture_YX3[::-1]
    if mirrored_columns:
      picture_YX3 = picture_YX3[:, ::-1]
    return np.ascontiguousarray(picture_YX3)


def _matrix(frame):
  """What `reformat` is to be told, or None where the tags say it."""
  if frame.colorspace not in _MATRICES:
    raise Reject(
      "decode_error", f"has colours of matrix {frame.colorspace}; convert it"
    )
  large = frame.height >= _HD_LINES or frame.width >= _HD_COLUMNS
  return _BT_709 if frame.colorspace == _UNTAGGED and large else None


def orientation(frame):
  """(rows and columns change places, rows, columns run the other way then).

  Raises:
    Reject: decode_error, the picture is to be shown askew.
  """
  try:
    side = frame.side_data.get("DISPLAYMATRIX")
  except ValueError:  # among kinds of side data that PyAV has no name for
    side = None
  if side is None:
    return False, False, False
  matrix_33 = np.frombuffer(bytes(side), np.int32)[:9].reshape(3, 3)
  (xx, xy), (yx, yy) = matrix_33[:2, :2].tolist()  # of x: where it points to
  straight, across = abs(xx) + abs(yy), abs(xy) + abs(yx)
  if min(straight, across) > _ASKEW * max(straight, across):
    raise Reject("decode_error", "is to be shown askew, by no right angle")
  if across > straight:
    return True, xy < 0, yx < 0
  return False, yy < 0, xx < 0
