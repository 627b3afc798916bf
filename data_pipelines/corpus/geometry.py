"""The head as a solid: where a point of the face lands in the picture.

Head units: x to the picture's right, y up, z towards the viewer; the face is
about 2 high, its middle at the origin.

Dimension key: K points; stacks of points [M K 2] are welcome everywhere.
"""

import numpy as np

from eartalk_jax.controls.known import TRACKS

_FULL_3 = np.radians(TRACKS["pose"].full)
_PIVOT = np.array([0.0, -0.7, -0.25])
_DEPTH = 0.72
_CURVE = 1 / np.array([0.88, 1.2])
_PERSPECTIVE = 0.1


def solid(points_K2, depth):
  """Points [.. K 2] at a depth, a number or one for each: [.. K 3]."""
  points_K2 = np.asarray(points_K2, float)
  solid_K3 = np.empty((*points_K2.shape[:-1], 3))
  solid_K3[..., :2] = points_K2
  solid_K3[..., 2] = depth
  return solid_K3


def lift(points_K2, out=0.0):
  """Puts points onto the front of the head, `out` above its surface."""
  inside_K = 1 - ((np.asarray(points_K2) * _CURVE) ** 2).sum(axis=-1)
  return solid(points_K2, _DEPTH * np.sqrt(np.maximum(inside_K, 0.03)) + out)


class HeadPose:
  """Turns a head and puts it into the picture.

  Args:
    pose_3: yaw, pitch, roll in [-1, 1]; positive turns the head to the
      picture's right, up, and clockwise.
    middle: pixels (x, y up) of the face's middle when it looks ahead.
    scale: pixels per head unit.
  """

  def __init__(self, pose_3, middle, scale):
    yaw, pitch, roll = np.asarray(pose_3) * _FULL_3
    sy, cy = np.sin(yaw), np.cos(yaw)
    sp, cp = np.sin(-pitch), np.cos(pitch)
    sr, cr = np.sin(-roll), np.cos(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    self.rotation_33 = tilt @ nod @ turn
    self.middle = np.asarray(middle, float)
    self.scale = scale
    self.widen = 1 / cy

  def place(self, points_K3):
    """Pixels [.. K 2] of points [.. K 3] in head units."""
    turned_K3 = (points_K3 - _PIVOT) @ self.rotation_33.T + _PIVOT
    near_K1 = self.scale * (1 + _PERSPECTIVE * turned_K3[..., 2:])
    return self.middle + near_K1 * turned_K3[..., :2]

  def face(self, points_K2, out=0.0):
    """Pixels of points drawn on the face."""
    return self.place(lift(points_K2, out))


class Rigid:
  """Shapes fixed to a head, put into the picture all at once.

  Args:
    on_face: name -> points [.. P 3] of what turns with the face.
    on_rim: the same for what lies on the head's silhouette, whose width a
      turn does not change.
  """

  def __init__(self, on_face, on_rim):
    shapes = {**on_face, **on_rim}
    self._flat_P3 = np.concatenate(
      [points.reshape(-1, 3) for points in shapes.values()]
    )
    count = sum(points.size // 3 for points in on_rim.values())
    self._first_rim = len(self._flat_P3) - count
    self._layout, start = [], 0
    for name, points in shapes.items():
      end = start + points.size // 3
      self._layout.append((name, start, end, (*points.shape[:-1], 2)))
      start = end

  def place(self, head):
    """Name -> pixels [.. P 2]."""
    points_P3 = self._flat_P3.copy()
    points_P3[self._first_rim :, 0] *= head.widen
    pixels_P2 = head.place(points_P3)
    return {
      name: pixels_P2[start:end].reshape(shape)
      for name, start, end, shape in self._layout
    }
