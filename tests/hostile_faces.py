"""A detector to which pictures do what hostile files do to decoders.

Red ends the process, green takes for ever, blue takes all memory; black does
so the first time only.
"""

import os
import signal

import hostile
import numpy as np


def detect(picture_YX3):
  red, green, blue = picture_YX3.mean((0, 1)) > 150
  if red and not green:
    hostile.read_nowhere("")
  if green and not red:
    hostile.loop("")
  if blue and not red:
    hostile.eat("")
  if picture_YX3.mean() < 20 and not os.path.exists(os.environ["MARK"]):
    open(os.environ["MARK"], "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
  height, width = picture_YX3.shape[:2]
  return [(width / 4, height / 4, width / 2, 1.0)]


def detect_nothing_sane(picture_YX3):
  return [np.full(4, np.nan)]


def leave(picture_YX3):
  raise SystemExit("two\nlines")


NO_FUNCTION = 3
