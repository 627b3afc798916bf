"""Numbers about a finished sub-clip that filters may later decide by."""

import numpy as np

_QUIETEST_DB = -120.0


def loudness(samples_S):
  """Level of int16 samples in dB of full scale; -120 for digital silence."""
  power = np.mean(np.square(samples_S.astype(np.float64) / 32768))
  return float(max(10 * np.log10(power + 1e-30), _QUIETEST_DB))


def sharpness(frames_TYX3):
  """Mean absolute Laplacian of a few of the pictures, in grey levels."""
  step = max(len(frames_TYX3) // 4, 1)
  grey_TYX = frames_TYX3[::step].mean(axis=-1, dtype=np.float32)
  middle = 4 * grey_TYX[:, 1:-1, 1:-1]
  around = grey_TYX[:, :-2, 1:-1] + grey_TYX[:, 2:, 1:-1]
  around += grey_TYX[:, 1:-1, :-2] + grey_TYX[:, 1:-1, 2:]
  return float(np.abs(middle - around).mean())


def motion(frames_TYX3):
  """Mean absolute change from each picture to the next, in grey levels."""
  if len(frames_TYX3) < 2:
    return 0.0
  total = 0.0
  for before, after in zip(frames_TYX3[:-1], frames_TYX3[1:], strict=True):
    total += np.abs(after.astype(np.int16) - before).mean()
  return float(total / (len(frames_TYX3) - 1))
