"""Motion is smooth, natural in amount and independent of the frame rate."""

import numpy as np

from data_pipelines.corpus.motion import EMOTIONS, make_motion

SECONDS = 60.0


def motion(seed, rate, seconds=SECONDS):
  rng = np.random.default_rng(seed)
  return make_motion(rng, np.arange(0, seconds, 1 / rate), seconds)


def test_tracks_stay_within_their_ranges():
  for seed in range(5):
    drawn = motion(seed, 25)
    assert np.abs(drawn.pose_T3).max() <= 1
    assert np.abs(drawn.gaze_T2).max() <= 1
    assert drawn.blink_T1.min() >= 0
    assert drawn.blink_T1.max() <= 1
    np.testing.assert_allclose(drawn.emotion_TE.sum(1), 1, atol=1e-6)


def test_every_pose_angle_moves_but_never_jumps():
  for seed in range(5):
    pose_T3 = motion(seed, 25).pose_T3
    assert pose_T3.std(axis=0).min() > 0.15
    assert np.abs(np.diff(pose_T3, axis=0)).max() < 0.3


def test_a_head_turns_visibly_in_all_but_few_clips():
  spreads = [motion(s, 25, seconds=4.0).pose_T3.std(axis=0) for s in range(200)]
  assert np.percentile(spreads, 5, axis=0).min() > 0.1


def test_people_blink_20_to_40_times_a_minute_for_a_quarter_second():
  counts, shares = [], []
  for seed in range(30):
    blink_T = motion(seed, 100).blink_T1[:, 0]
    counts.append(np.sum((blink_T[1:] > 0.5) & (blink_T[:-1] <= 0.5)))
    shares.append((blink_T > 0).sum() / 100 / max(counts[-1], 1))
    assert blink_T.max() == 1
  assert 15 < np.mean(counts) < 45
  assert 0.2 < np.mean(shares) < 0.35


def test_the_frame_rate_changes_nothing_about_the_motion():
  slow, fast = motion(3, 25), motion(3, 50)
  np.testing.assert_array_equal(slow.pose_T3, fast.pose_T3[::2])
  np.testing.assert_array_equal(slow.blink_T1, fast.blink_T1[::2])
  np.testing.assert_array_equal(slow.emotion_T1, fast.emotion_T1[::2])


def test_some_clips_change_emotion_and_the_label_switches_half_way():
  changes, seen = 0, set()
  for seed in range(100):
    drawn = motion(seed, 25, seconds=4.0)
    label_T = drawn.emotion_T1[:, 0].astype(int)
    seen |= set(label_T)
    changes += len(set(label_T)) > 1
    shown_T = np.take_along_axis(drawn.emotion_TE, label_T[:, None], 1)
    assert shown_T.min() >= 0.5
  assert 25 < changes < 55
  assert seen == set(range(len(EMOTIONS)))
