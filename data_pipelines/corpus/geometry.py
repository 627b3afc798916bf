"""The head as a solid: where a point of the face lands in the picture.

Head units: x to the picture's right, y up, z towards the viewer; the face is
about 2 high, its middle at the origin.

Dimension key: K points.
"""

import numpy as np

MAX_YAW, MAX_PITCH, MAX_ROLL = np.radians((26.0, 18.0, 16.0))
_PIVOT = np.array([0.0, -0.7, -0.25])
_DEPTH = 0.72
_PERSPECTIVE = 0.1


def lift(points_K2, out=0.0):
  """Puts points onto the front of the head, `out` above its surface."""
  points_K2 = np.asarray(points_K2, float)
  x_K, y_K = points_K2[:, 0], points_K2[:, 1]
  inside_K = np.maximum(1 - (x_K / 0.88) ** 2 - (y_K / 1.2) ** 2, 0.03)
  return np.column_stack([points_K2, _DEPTH * np.sqrt(inside_K) + out])


class HeadPose:
  """Turns a head and puts it into the picture.

  Args:
    pose_3: yaw, pitch, roll in [-1, 1]; positive turns the head to the
      picture's right, up, and clockwise.
    middle: pixels (x, y up) of the face's middle when it looks ahead.
    scale: pixels per head unit.
  """

  def __init__(self, pose_3, middle, scale):
    yaw, pitch, roll = np.asarray(pose_3) * (MAX_YAW, MAX_PITCH, MAX_ROLL)
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
    self.yaw, self.pitch, self.roll = yaw, pitch, roll

  def place(self, points_K3):
    """Pixels [K 2] of points in head units."""
    turned_K3 = (points_K3 - _PIVOT) @ self.rotation_33.T + _PIVOT
    near_K1 = 1 + _PERSPECTIVE * turned_K3[:, 2:]
    return self.middle + self.scale * near_K1 * turned_K3[:, :2]

  def face(self, points_K2, out=0.0):
    """Pixels of points drawn on the face."""
    return self.place(lift(points_K2, out))

  def rim(self, points_K2, depth=0.0):
    """Pixels of points on the head's silhouette: a turn keeps its width."""
    points_K2 = np.asarray(points_K2, float)
    depth_K = np.broadcast_to(depth, len(points_K2))
    return self.place(np.column_stack([points_K2 * [self.widen, 1], depth_K]))
