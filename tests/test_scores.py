import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from eartalk_jax.evaluation import scores


@given(st.integers(0, 10_000), st.integers(2, 60))
def test_correlation_is_that_of_scipy(seed, frames):
  rng = np.random.default_rng(seed)
  a_T, b_T = rng.normal(size=(2, frames))
  assume(min(a_T.std(), b_T.std()) > scores.STILL)  # those have their own tests
  expected = stats.pearsonr(a_T, b_T).statistic
  assert scores.correlation(a_T, b_T) == pytest.approx(expected, abs=1e-9)


def test_a_prediction_that_stands_still_scores_zero():
  true_T = np.sin(np.arange(50))
  assert scores.correlation(np.full(50, 0.3), true_T) == 0
  rounding_T = 0.3 + 1e-7 * np.cos(np.arange(50))
  assert scores.correlation(rounding_T, true_T) == 0


def test_a_truth_that_stands_still_tells_nothing_and_is_left_out():
  moving_T = np.sin(np.arange(50))
  undefined = scores.correlation(moving_T, np.zeros(50))
  assert np.isnan(undefined)
  assert scores.mean_over_clips([undefined, 0.5, 0.7]) == (
    pytest.approx(0.6),
    2,
  )
  assert scores.mean_over_clips([undefined]) == (None, 0)


def test_psnr_and_ssim_follow_their_definitions():
  rng = np.random.default_rng(0)
  true_YX3 = rng.integers(0, 200, (32, 32, 3), dtype=np.uint8)
  assert scores.psnr(true_YX3 + np.uint8(10), true_YX3) == pytest.approx(
    20 * np.log10(255 / 10)
  )
  assert scores.psnr(true_YX3, true_YX3) == 100
  assert scores.ssim(true_YX3, true_YX3) == pytest.approx(1)
  noise_YX3 = rng.integers(0, 200, (32, 32, 3), dtype=np.uint8)
  assert scores.ssim(noise_YX3, true_YX3) < 0.2


def test_frames_are_nearest_to_the_portrait_they_were_made_from():
  rng = np.random.default_rng(0)
  portraits_BYX3 = rng.integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
  for index, portrait_YX3 in enumerate(portraits_BYX3):
    clip_TYX3 = np.stack([np.roll(portrait_YX3, s, 1) for s in (0, 1)])
    assert scores.nearest_portrait(clip_TYX3, portraits_BYX3) == index


def test_motion_is_the_mean_change_between_frames():
  frames_TYX3 = np.zeros((3, 8, 8, 3), np.uint8)
  frames_TYX3[1] = 30
  frames_TYX3[2] = 20
  assert scores.motion(frames_TYX3) == pytest.approx(20)
  assert scores.motion(frames_TYX3[:1]) == 0
