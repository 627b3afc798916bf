"""Antialiased filled shapes on a picture, and the curves they are made of.

Coordinates are pixels, x to the right and y UP from the lower left corner.
Colours are (r, g, b) or (r, g, b, a) in [0, 1].

Dimension key: K control points, P polygon points, Y rows, X columns.
"""

import functools

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform, TransformedPath

_IDENTITY = IdentityTransform()
_STEPS = 6


@functools.cache
def _curve_basis(points, closed):
  """Catmull-Rom weights [P K]: a smooth curve through `points` points."""
  t = np.arange(_STEPS)[:, None] / _STEPS
  weights = 0.5 * np.concatenate(
    [
      -t + 2 * t**2 - t**3,
      2 - 5 * t**2 + 3 * t**3,
      t + 4 * t**2 - 3 * t**3,
      -(t**2) + t**3,
    ],
    axis=1,
  )
  segments = points if closed else points - 1
  basis = np.zeros((segments * _STEPS + (not closed), points))
  for s in range(segments):
    for j in range(4):
      k = s + j - 1
      k = k % points if closed else min(max(k, 0), points - 1)
      basis[s * _STEPS : (s + 1) * _STEPS, k] += weights[:, j]
  if not closed:
    basis[-1, -1] = 1
  return basis


def closed_curve(points_K2):
  """Smooth closed outline through the points."""
  return _curve_basis(points_K2.shape[-2], True) @ points_K2


def open_curve(points_K2):
  """Smooth line through the points, ends included."""
  return _curve_basis(points_K2.shape[-2], False) @ points_K2


def between(upper_K2, lower_K2):
  """Outline of the region between two lines that run the same way.

  Works on stacks of lines [M K 2] as well, like the curves.
  """
  return np.concatenate([upper_K2, lower_K2[..., ::-1, :]], axis=-2)


@functools.cache
def circle(points=16):
  """Unit circle as control points for `closed_curve`."""
  angle = 2 * np.pi * np.arange(points) / points
  return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@functools.cache
def _codes(shapes, points):
  """Path codes of `shapes` separate polygons of `points` points each."""
  codes = np.full((shapes, points), Path.LINETO, Path.code_type)
  codes[:, 0] = Path.MOVETO
  return codes.ravel()


def _path(points):
  """One polygon [P 2], or several of equal length [M P 2], as one path."""
  if points.ndim == 2:
    return Path(points)
  return Path(points.reshape(-1, 2), _codes(*points.shape[:2]))


class Canvas:
  """A picture to draw on.

  Shapes are one polygon [P 2] or several [M P 2], which then count as one:
  where they overlap, a translucent colour is not applied twice.
  """

  def __init__(self, width, height):
    self._renderer = RendererAgg(width, height, 72)
    self._fill = self._renderer.new_gc()
    self._fill.set_linewidth(0)
    self._pen = self._renderer.new_gc()
    self._pen.set_capstyle("round")
    self._pen.set_joinstyle("round")
    self._pixels_YX4 = np.asarray(self._renderer.buffer_rgba())

  def start(self, picture_YX4):
    """Begins a new picture on the given background, uint8."""
    self._pixels_YX4[:] = picture_YX4

  def fill(self, shape, colour):
    """Fills a shape; curves come from `closed_curve` and `between`."""
    colour = (*colour, 1.0) if len(colour) == 3 else colour
    self._renderer.draw_path(self._fill, _path(shape), _IDENTITY, tuple(colour))

  def glow(self, shape, colour, alpha, levels=3):
    """A soft patch: fades from `alpha` in its middle to nothing."""
    middle = shape.mean(axis=-2, keepdims=True)
    each = 1 - (1 - alpha) ** (1 / levels)
    for i in range(levels):
      size = 1 - i / levels
      self.fill(middle + (shape - middle) * size, (*colour, each))

  def stroke(self, line, width, colour):
    """Draws round-ended lines of `width` pixels."""
    self._pen.set_linewidth(width)
    self._pen.set_foreground(colour)
    self._renderer.draw_path(self._pen, _path(line), _IDENTITY)

  def mesh(self, corners_N32, colours_N33):
    """Triangles with colours given at their corners, opaque."""
    colours_N34 = np.concatenate(
      [colours_N33, np.ones_like(colours_N33[..., :1])], axis=-1
    )
    self._renderer.draw_gouraud_triangles(
      self._fill, corners_N32, colours_N34, _IDENTITY
    )

  def layer(self):
    """What was drawn since the canvas was made, for `paste` elsewhere."""
    return self._pixels_YX4[::-1].copy()

  def paste(self, layer_YX4):
    """Puts a `layer` of a canvas of equal size onto the picture."""
    self._renderer.draw_image(self._fill, 0, 0, layer_YX4)

  def clip(self, shape):
    """Until `unclip`, drawing only shows inside the shape."""
    # The renderer tells clips apart by their address: the last one, which
    # `self._clipped` still holds here, must not be freed before the new one
    # exists.
    self._clipped = TransformedPath(_path(shape), _IDENTITY)
    self._fill.set_clip_path(self._clipped)
    self._pen.set_clip_path(self._clipped)

  def unclip(self):
    """Ends `clip`."""
    self._fill.set_clip_path(None)
    self._pen.set_clip_path(None)

  def picture(self):
    """The picture so far, uint8 [Y X 4]; a view that later drawing changes."""
    return self._pixels_YX4
