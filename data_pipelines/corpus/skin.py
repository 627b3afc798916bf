"""The lit skin of a face: a mesh of triangles, coloured at its corners.

The corners lie on rings around the face's middle, the outermost on its rim.
What a turn of the head does not change is computed once per person.

Dimension key: V mesh corners, N triangles, K rim points.
"""

import functools

import numpy as np

from data_pipelines.corpus.canvas import closed_curve
from data_pipelines.corpus.geometry import lift

_RINGS = np.array([0.0, 0.28, 0.44, 0.58, 0.76, 1.0])
_SPOKES = 20
_JAW_DROP = 0.1


@functools.cache
def _triangles():
  """Corner indices of a disc of rings and spokes, [N 3]."""
  faces = []
  for ring in range(len(_RINGS) - 1):
    for spoke in range(_SPOKES):
      a = ring * _SPOKES + spoke
      b = ring * _SPOKES + (spoke + 1) % _SPOKES
      c, d = a + _SPOKES, b + _SPOKES
      faces.append((a, c, d))
      if ring:
        faces.append((a, d, b))
  return np.array(faces)


def _rim(person):
  """Outline of the face with closed jaws, [K 2], anticlockwise."""
  angle = 2 * np.pi * np.arange(_SPOKES) / _SPOKES
  x, y = np.cos(angle), np.sin(angle)
  below = np.clip(-y, 0, 1)
  narrow = 1 - (1 - person.jaw) * np.sin(np.pi * below / 2) ** 2
  square = 1 + 0.25 * person.chin * below * np.abs(x)
  return np.stack([person.width * x * narrow * square, 1.04 * y], 1)


def _patches(flat_V2, middle, size):
  """Two mirrored soft spots of the given half widths, 1 in the middle."""
  folded_V2 = np.stack([np.abs(flat_V2[:, 0]), flat_V2[:, 1]], axis=1)
  return np.exp(-(((folded_V2 - middle) / size) ** 2).sum(axis=1))


def _beard(flat_V2, person):
  """Where a short beard grows: jaw and chin, not the mouth."""
  x_V, y_V = np.abs(flat_V2[:, 0]), flat_V2[:, 1]
  jaw_V = np.clip((-0.22 - y_V) / 0.2, 0, 1)
  wide_V = np.clip((x_V - 0.3) / 0.15, 0, 1)
  low_V = np.clip((-0.68 - y_V) / 0.15, 0, 1)
  lip_V = _patches(flat_V2, (0.1, person.mouth_level + 0.16), (0.25, 0.08))
  return jaw_V * np.maximum(np.maximum(wide_V, low_V), 0.8 * lip_V)


class Skin:
  """Draws the face of one person without its features."""

  def __init__(self, person):
    rim_K2 = _rim(person)
    flat_V2 = (_RINGS[:, None, None] * rim_K2).reshape(-1, 2)
    ring_V = np.repeat(_RINGS, _SPOKES)
    rim_V = ring_V**4
    self._solid_V3 = lift(flat_V2)
    # The chin is further forward than the temples.
    chin_V = 0.38 * np.tile(np.clip(-rim_K2[:, 1], 0, 1) ** 2, len(_RINGS))
    self._solid_V3[:, 2] += rim_V * (chin_V - self._solid_V3[:, 2])
    below_V = np.tile(np.clip(-rim_K2[:, 1], 0, 1), len(_RINGS))
    self._drop_V = _JAW_DROP * (below_V * ring_V) ** 2
    self._rim_V = rim_V
    normal_V3 = self._solid_V3 / np.array([0.88, 1.2, 0.72]) ** 2
    length_V1 = np.linalg.norm(normal_V3, axis=1, keepdims=True)
    self._normal_V3 = normal_V3 / length_V1
    self._chin_shade_V = 0.1 * np.clip(-flat_V2[:, 1] - 0.72, 0, 1)
    self._light_3 = np.array(person.light)
    skin_3 = np.array(person.skin)
    self._tones = skin_3, skin_3 * [0.66, 0.52, 0.5], skin_3**0.6
    cheek_V = _patches(flat_V2, (0.46, -0.22), (0.24, 0.2))
    socket_V = _patches(flat_V2, (person.eye_gap, 0.13), (0.25, 0.16))
    self._cheek = cheek_V[:, None], skin_3 * [1.0, 0.74, 0.72]
    self._socket = 0.7 * socket_V[:, None], skin_3 * [0.55, 0.47, 0.47]
    beard_V = person.beard * _beard(flat_V2, person)
    self._beard = beard_V[:, None], 0.8 * np.array(person.hair)

  def draw(self, canvas, head, jaw_drop, blush):
    """Paints the face; both numbers are shares of their full effect."""
    solid_V3 = self._solid_V3.copy()
    solid_V3[:, 0] *= 1 + self._rim_V * (head.widen - 1)
    solid_V3[:, 1] -= jaw_drop * self._drop_V
    pixels_V2 = head.place(solid_V3)
    outline_P2 = closed_curve(pixels_V2[-_SPOKES:])
    canvas.fill(outline_P2, 0.8 * self._tones[0])
    colour_V3 = self._colours(head, blush)
    canvas.clip(outline_P2)
    corners_N3 = _triangles()
    canvas.mesh(pixels_V2[corners_N3], colour_V3[corners_N3])
    canvas.unclip()

  def _colours(self, head, blush):
    """Light by direction, then cheeks, eye sockets and beard."""
    toward_V = self._normal_V3 @ (head.rotation_33.T @ self._light_3)
    shade_V = 0.7 + 0.36 * toward_V.clip(-0.3, 1) - self._chin_shade_V
    down_V1 = ((0.98 - shade_V) / 0.45).clip(0, 1)[:, None]
    up_V1 = ((shade_V - 0.98) / 0.44).clip(0, 0.5)[:, None]
    plain_3, shadow_3, bright_3 = self._tones
    colour_V3 = plain_3 + down_V1 * (shadow_3 - plain_3)
    colour_V3 += up_V1 * (bright_3 - colour_V3)
    cheek_V1, rosy_3 = self._cheek
    colour_V3 += blush * cheek_V1 * (rosy_3 - colour_V3)
    for share_V1, tone_3 in (self._socket, self._beard):
      colour_V3 += share_V1 * (tone_3 - colour_V3)
    return colour_V3.clip(0, 1)
