"""What the figures of an evaluation mean.

  correlation   Pearson's r over the frames of one clip; 0 if the prediction
                does not move; undefined (NaN) if the truth does not move.
  psnr          10 log10(255^2 / mean squared error) of one picture
  ssim          structural similarity, Gaussian windows, of one picture
  nearest       pictures compared as 8 x 8 thumbnails: mean squared distance,
                averaged over the frames of a clip
  motion        mean absolute change from one frame to the next, in grey levels

Dimension key:  T frames, K numbers of a track, ..YX3 pictures.
"""

import numpy as np
from skimage import metrics

# A track that moves less than this, as a standard deviation, stands still.
STILL = 1e-3
# A prediction that moves less does so by rounding.
_ROUNDING = 1e-5
THUMBNAIL = 8


def correlation(predicted_T, true_T):
  """Pearson's r of two series; see above for series that stand still."""
  predicted_T = np.asarray(predicted_T, np.float64)
  true_T = np.asarray(true_T, np.float64)
  if len(true_T) < 2 or true_T.std() < STILL:
    return float("nan")
  if predicted_T.std() < _ROUNDING:
    return 0.0
  a_T = predicted_T - predicted_T.mean()
  b_T = true_T - true_T.mean()
  return float((a_T @ b_T) / np.sqrt((a_T @ a_T) * (b_T @ b_T)))


def mean_over_clips(values):
  """Mean of what is defined: (mean, how many); (None, 0) if nothing is."""
  values = np.asarray(values, np.float64)
  values = values[np.isfinite(values)]
  if not len(values):
    return None, 0
  return float(values.mean()), len(values)


def psnr(picture_YX3, true_YX3):
  """Peak signal-to-noise ratio of a uint8 picture in dB, at most 100."""
  difference = picture_YX3.astype(np.float64) - true_YX3.astype(np.float64)
  error = np.square(difference).mean()
  return float(min(100.0, 10 * np.log10(255**2 / max(error, 1e-12))))


def ssim(picture_YX3, true_YX3):
  """Structural similarity of two uint8 pictures."""
  return float(
    metrics.structural_similarity(
      picture_YX3,
      true_YX3,
      channel_axis=-1,
      data_range=255,
      gaussian_weights=True,
      sigma=1.5,
      use_sample_covariance=False,
    )
  )


def thumbnails(frames_TYX3):
  """Pictures as vectors of 8 x 8 mean colours in [0, 1], [T, 192]."""
  frames, rows, columns, _ = frames_TYX3.shape
  y, x = rows // THUMBNAIL, columns // THUMBNAIL
  cut_TYX3 = frames_TYX3[:, : y * THUMBNAIL, : x * THUMBNAIL]
  tiles = cut_TYX3.reshape(frames, THUMBNAIL, y, THUMBNAIL, x, 3)
  return tiles.mean((2, 4), dtype=np.float64).reshape(frames, -1) / 255


def nearest_portrait(frames_TYX3, portraits_BYX3):
  """Index of the portrait that the frames of a clip are nearest to."""
  clip_TF, portraits_BF = thumbnails(frames_TYX3), thumbnails(portraits_BYX3)
  distance_TB = np.square(clip_TF[:, None] - portraits_BF[None]).mean(-1)
  return int(distance_TB.mean(0).argmin())


def motion(frames_TYX3):
  """Mean absolute change between consecutive frames, in grey levels."""
  if len(frames_TYX3) < 2:
    return 0.0
  return float(np.abs(np.diff(frames_TYX3.astype(np.int16), axis=0)).mean())
