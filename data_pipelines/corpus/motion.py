"""How a head moves: pose, blinks, gaze and emotion over a clip.

All of it is made on a regular grid and read off at the video's own time
stamps, so that a file's frame rate changes nothing about the motion.

Dimension key: Q steps of the grid, T video frames, E emotions.
"""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised")
GRID_HZ = 100
_CHANGE_SHARE = 0.4
# Of the spread of a head's rests. A head that keeps still for a whole clip has
# little to teach about poses, and nothing to measure them by.
_LEAST_TURN = 0.5


@dataclasses.dataclass(frozen=True)
class Motion:
  """Tracks at the video's time stamps.

  pose_T3: yaw, pitch, roll in [-1, 1]; blink_T1 in [0, 1]; gaze_T2 in
  [-1, 1], x towards the picture's right, y up; emotion_T1 the class index;
  emotion_TE how much of every emotion the face shows, rows sum to 1.
  """

  pose_T3: np.ndarray
  blink_T1: np.ndarray
  gaze_T2: np.ndarray
  emotion_T1: np.ndarray
  emotion_TE: np.ndarray


def make_motion(rng, times_T, seconds):
  """Draws the motion of one clip of `seconds` and samples it at `times_T`."""
  count = int(np.ceil(seconds * GRID_HZ)) + 1
  grid_Q = np.arange(count) / GRID_HZ
  pose_Q3 = _pose(rng, grid_Q)
  gaze_Q2 = _gaze(rng, grid_Q, pose_Q3)
  blink_T = _blink(rng, times_T, seconds)
  emotion_TE = _emotion(rng, times_T, seconds)

  def read(track_Q):
    return np.interp(times_T, grid_Q, track_Q)

  return Motion(
    pose_T3=np.stack([read(p) for p in pose_Q3.T], 1).astype(np.float32),
    blink_T1=blink_T[:, None].astype(np.float32),
    gaze_T2=np.stack([read(g) for g in gaze_Q2.T], 1).astype(np.float32),
    emotion_T1=emotion_TE.argmax(1)[:, None].astype(np.float32),
    emotion_TE=emotion_TE.astype(np.float32),
  )


def _holds(rng, grid_Q, shortest, longest, spread, turn):
  """Rests at random values and turns smoothly from one to the next."""
  track_Q = np.empty(len(grid_Q))
  at, value = 0.0, spread * rng.standard_normal()
  while at <= grid_Q[-1]:
    following = at + rng.uniform(shortest, longest)
    track_Q[(grid_Q >= at) & (grid_Q < following)] = value
    at, value = following, _elsewhere(rng, value, spread)
  return gaussian_filter1d(track_Q, turn * GRID_HZ, mode="nearest")


def _elsewhere(rng, value, spread):
  """The next place to rest, so far away that a turn is to be seen."""
  while True:
    following = 0.25 * value + spread * rng.standard_normal()
    if abs(following - value) > _LEAST_TURN * spread:
      return following


def _sway(rng, grid_Q, seconds, spread):
  """Smooth noise of about the given time scale."""
  noise_Q = rng.standard_normal(len(grid_Q) + 400)
  noise_Q = gaussian_filter1d(noise_Q, seconds * GRID_HZ)[200:-200]
  unit = np.sqrt(2 * np.sqrt(np.pi) * seconds * GRID_HZ)
  return spread * unit * noise_Q


def _nods(rng, grid_Q):
  """A few short nods: down and up again, dying out."""
  track_Q = np.zeros(len(grid_Q))
  for _ in range(rng.poisson(0.35 * grid_Q[-1])):
    since_Q = grid_Q - rng.uniform(0, grid_Q[-1])
    wave_Q = np.sin(2 * np.pi * since_Q / rng.uniform(0.5, 0.8))
    decay_Q = np.exp(-since_Q / 0.35) * (since_Q > 0)
    track_Q -= rng.uniform(0.2, 0.5) * wave_Q * decay_Q
  return gaussian_filter1d(track_Q, 0.04 * GRID_HZ, mode="nearest")


def _pose(rng, grid_Q):
  yaw_Q = _holds(rng, grid_Q, 0.6, 1.8, 0.42, 0.16)
  yaw_Q += _sway(rng, grid_Q, 0.25, 0.05)
  pitch_Q = _holds(rng, grid_Q, 0.7, 2.0, 0.42, 0.15)
  pitch_Q += _sway(rng, grid_Q, 0.2, 0.06) + _nods(rng, grid_Q)
  roll_Q = _holds(rng, grid_Q, 0.8, 2.2, 0.34, 0.17)
  roll_Q += _sway(rng, grid_Q, 0.25, 0.05) + 0.15 * yaw_Q
  return np.tanh(np.stack([yaw_Q, pitch_Q, roll_Q], axis=1))


def _blink(rng, times_T, seconds):
  """Lids shut in 80 ms, rest 40 ms and open in 130 ms, by 20-40 a minute."""
  blink_T = np.zeros(len(times_T))
  per_second = rng.uniform(20, 40) / 60
  at = rng.uniform(0.1, 1.2 / per_second)
  while at < seconds:
    pace = rng.uniform(0.9, 1.2)
    edges = at + pace * np.array([0.0, 0.08, 0.12, 0.25])
    lid_T = np.interp(times_T, edges, [0, 1, 1, 0])
    np.maximum(blink_T, lid_T * lid_T * (3 - 2 * lid_T), out=blink_T)
    at += 0.35 + rng.exponential(max(1 / per_second - 0.35, 0.3))
  return blink_T


def _gaze(rng, grid_Q, pose_Q3):
  """Saccades; often back to the viewer, against the turn of the head."""
  gaze_Q2 = np.zeros((len(grid_Q), 2))
  at = 0.0
  while at <= grid_Q[-1]:
    following = at + rng.uniform(0.35, 1.6)
    span_Q = (grid_Q >= at) & (grid_Q < following)
    if rng.random() < 0.45:
      gaze_Q2[span_Q] = -0.6 * pose_Q3[span_Q, :2] * [1, 1]
    else:
      gaze_Q2[span_Q] = rng.uniform([-0.95, -0.6], [0.95, 0.6])
    at = following
  return gaussian_filter1d(gaze_Q2, 0.015 * GRID_HZ, axis=0, mode="nearest")


def _emotion(rng, times_T, seconds):
  first = rng.integers(len(EMOTIONS))
  second = first
  if rng.random() < _CHANGE_SHARE:
    second = (first + rng.integers(1, len(EMOTIONS))) % len(EMOTIONS)
  middle = rng.uniform(0.3, 0.7) * seconds
  mix_T = np.clip((times_T - middle) / 0.5 + 0.5, 0, 1)
  mix_T = mix_T * mix_T * (3 - 2 * mix_T)
  emotion_TE = np.zeros((len(times_T), len(EMOTIONS)))
  emotion_TE[:, first] += 1 - mix_T
  emotion_TE[:, second] += mix_T
  return emotion_TE
