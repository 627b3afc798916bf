"""Scene cuts: where one camera shot ends and the next begins.

  d_t = mean |median(thumbs t .. t+2) - median(thumbs t-3 .. t-1)|

A cut is a d_t that is large and stands far above everything around it. The
medians make it blind to a single odd picture (a flash, a broken frame); the
comparison with its surroundings to motion, which lasts.

Dimension key:  T frames, YX3 pictures.
"""

import numpy as np

THUMB = 16  # pixels; coarse enough that a blink or a mouth is nothing
_REACH = 3
# Mean change of a thumbnail's pixels, of 1; a talking head stays below 0.02.
_SMALLEST = 0.06
# How many times the change nearby, itself excepted.
_CONTRAST = 3.0
_NEARBY = 12


def find_cuts(thumbs_TYX3):
  """The first frame of every shot but the first, ascending list of int.

  Args:
    thumbs_TYX3: uint8 thumbnails of all frames.
  """
  change_T, step_T = _changes(thumbs_TYX3), _steps(thumbs_TYX3)
  cuts = []
  for t in np.flatnonzero(change_T >= _SMALLEST):
    if change_T[t] < change_T[max(t - _REACH, 0) : t + _REACH + 1].max():
      continue
    around = slice(max(t - _NEARBY, 0), t + _NEARBY + 1)
    # The medians smear a cut over the frames within their reach.
    far = np.abs(np.arange(len(change_T))[around] - t) >= _REACH
    background = np.median(change_T[around][far]) if far.any() else 0.0
    if change_T[t] >= _CONTRAST * background:
      near = max(int(t) - _REACH + 1, 0)
      cut = near + int(np.argmax(step_T[near : t + _REACH]))
      if not cuts or cut > cuts[-1]:
        cuts.append(cut)
  return cuts


def _steps(thumbs_TYX3):
  """Mean change from the frame before, of 1."""
  return _difference(
    thumbs_TYX3, np.concatenate([thumbs_TYX3[:1], thumbs_TYX3[:-1]])
  )


def _changes(thumbs_TYX3):
  """d_t for every frame; the ends are continued by their last picture."""
  sides = ((_REACH, _REACH - 1), (0, 0), (0, 0), (0, 0))
  padded = np.pad(thumbs_TYX3, sides, mode="edge")
  a, b, c = padded[:-2], padded[1:-1], padded[2:]
  medians = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
  return _difference(medians[_REACH:], medians[:-_REACH])


def _difference(a_TYX3, b_TYX3):
  """Mean absolute difference of each picture, of 1."""
  # Bytes: the larger less the smaller never wraps around.
  change = np.maximum(a_TYX3, b_TYX3) - np.minimum(a_TYX3, b_TYX3)
  return change.mean(axis=(1, 2, 3)) / 255


def split(cuts, frames, longest):
  """(first, count) of the sub-clips: shots, in equal parts if too long."""
  edges = [0, *cuts, frames]
  parts = []
  for start, stop in zip(edges[:-1], edges[1:], strict=True):
    pieces = -(-(stop - start) // longest)
    bounds = [start + (stop - start) * i // pieces for i in range(pieces + 1)]
    parts += [(a, b - a) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
  return parts
