"""What a face does when nobody asks: it blinks, looks about and sways a little.

A model that is given no controls shows what is most likely, frame by frame:
open eyes and a still head. These controls are what people do besides. They are
a function of (seed, frame), so streams remember nothing of them.
"""

import functools

import numpy as np

from eartalk_jax.controls.known import TRACKS
from eartalk_jax.spans import FPS

# How far eyes close and turn, and heads swing: yaw, pitch, roll.
(_SHUT,), _REACH, _SWAY = (TRACKS[n].idle for n in ("blink", "gaze", "pose"))
# A blink in each span of 3.2 s, about 19 in a minute, 0.2 s long.
_BLINK_SPAN = 80
_LID = (0.4, 1.0, 1.0, 0.7, 0.3)
# A new point to look at every 1.6 s; half of them are the viewer.
_GAZE_SPAN = 40
_SWAY_SECONDS = (3.0, 8.0)


class Idle:
  """Controls of one face: blink, gaze, and pose where the portrait's is known.

  Args:
    controls: the model's; those of other names are left to the model.
    known: {control: numbers}, what is known of the portrait.
    seed: whose face it is.
  """

  def __init__(self, controls, known, seed):
    names = {control.name for control in controls}
    self.seed = int(seed)
    self.pose = None
    if "pose" in names and "pose" in known:
      self.pose = np.ravel(known["pose"]).astype(float).tolist()
    self._blinks, self._looks = "blink" in names, "gaze" in names

  def at(self, frame):
    """{control: list of numbers} at a frame."""
    found = {}
    if self._blinks:
      found["blink"] = [_lid(self.seed, frame)]
    if self._looks:
      found["gaze"] = _look(self.seed, frame // _GAZE_SPAN)
    if self.pose is not None:
      pose_3 = np.asarray(self.pose) + _sway(self.seed, frame)
      found["pose"] = np.clip(pose_3, *TRACKS["pose"].range).tolist()
    return found


def fill(idle, start, stop, controls, given):
  """Adds idling to a span's controls wherever they are not given.

  Args:
    idle: Idle.
    start, stop: the frames, start <= t < stop.
    controls, given: {name: value_tK} and {name: given_t}; changed in place.
  """
  rows = [idle.at(frame) for frame in range(start, stop)]
  for name in rows[0] if rows else ():
    idle_tK = np.asarray([row[name] for row in rows], np.float32)
    asked_t = given.get(name, np.zeros(len(rows), bool))
    asked_tK = controls.get(name, idle_tK)
    controls[name] = np.where(asked_t[:, None], asked_tK, idle_tK)
    given[name] = np.ones(len(rows), bool)


def _rng(*numbers):
  return np.random.default_rng(numbers)


def _lid(seed, frame):
  span, place = divmod(frame, _BLINK_SPAN)
  step = place - _blink_place(seed, span)
  return _SHUT * _LID[step] if 0 <= step < len(_LID) else 0.0


@functools.lru_cache(maxsize=1024)
def _blink_place(seed, span):
  return int(_rng(seed, 1, span).integers(_BLINK_SPAN - len(_LID)))


@functools.lru_cache(maxsize=1024)
def _look(seed, span):
  rng = _rng(seed, 2, span)
  away = rng.random() < 0.5
  return [float(away * rng.uniform(-reach, reach)) for reach in _REACH]


def _sway(seed, frame):
  """Two slow waves for each axis, of periods that never meet again."""
  seconds_32, phase_32 = _waves(seed)
  angle_32 = 2 * np.pi * (frame / FPS / seconds_32) + phase_32
  return np.asarray(_SWAY) * np.sin(angle_32).mean(axis=1)


@functools.lru_cache(maxsize=1024)
def _waves(seed):
  rng = _rng(seed, 3)
  shape = (len(_SWAY), 2)
  return rng.uniform(*_SWAY_SECONDS, shape), rng.uniform(0, 2 * np.pi, shape)
