import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.rejects import Reject
from data_pipelines.stamps import Follower, Stretch

RATE = 16_000


def follow(samples_S, times, size=512):
  """What becomes of frames of that size, with a time each, or None."""
  follower, pieces = Follower(RATE), []
  for number, time in enumerate(times):
    frame_S = samples_S[number * size : (number + 1) * size]
    pieces += list(follower.push(frame_S, time))
  pieces += list(follower.flush())
  return np.concatenate(pieces), follower.start


def noise(samples):
  rng = np.random.default_rng(0)
  return (0.1 * rng.standard_normal(samples)).astype(np.float32)


def stamps(count, size=512):
  return np.arange(count) * size / RATE


@settings(max_examples=25, deadline=None)
@given(
  jitter=st.lists(st.integers(-7, 7), min_size=40, max_size=40),
  start=st.floats(-5, 5),
)
def test_jitter_of_milliseconds_changes_nothing(jitter, start):
  samples_S = noise(40 * 512)
  times = stamps(40) + start
  times[1:] += np.array(jitter[1:]) / 1000
  got_S, got_start = follow(samples_S, times.tolist())
  np.testing.assert_array_equal(got_S, samples_S)
  assert got_start == start


def test_what_a_single_stamp_says_is_not_believed():
  samples_S = noise(60 * 512)
  times = stamps(60)
  times[20] += 5.0
  times[40] -= 0.5
  np.testing.assert_array_equal(follow(samples_S, times)[0], samples_S)


def test_frames_without_a_stamp_lie_between_the_others():
  samples_S = noise(40 * 512)
  times = [
    None if number % 3 else time for number, time in enumerate(stamps(40))
  ]
  np.testing.assert_array_equal(follow(samples_S, times)[0], samples_S)
  got_S, start = follow(samples_S, [None, None, *(stamps(40)[2:] + 1)])
  np.testing.assert_array_equal(got_S, samples_S)
  assert start == pytest.approx(1.0)
  got_S, start = follow(samples_S, [None] * 40)
  np.testing.assert_array_equal(got_S, samples_S)
  assert start == 0


def test_without_any_stamp_little_is_held():
  follower, given_ = Follower(RATE), 0
  for _ in range(1000):
    given_ += sum(map(len, follower.push(np.zeros(512, np.float32), None)))
  assert 1000 * 512 - given_ < 12 * RATE


def test_a_hole_is_silence_where_it_was():
  samples_S = noise(40 * 512)
  times = stamps(40)
  times[25:] += 700 / RATE
  got_S, _ = follow(samples_S, times)
  want_S = np.insert(samples_S, 25 * 512, np.zeros(700))
  np.testing.assert_array_equal(got_S, want_S)


@pytest.mark.parametrize("cut", [200, 700, 3000])
def test_what_is_there_twice_is_heard_once(cut):
  samples_S = noise(60 * 512)
  times = stamps(60)
  times[25:] -= cut / RATE
  got_S, _ = follow(samples_S, times)
  want_S = np.delete(samples_S, slice(25 * 512, 25 * 512 + cut))
  np.testing.assert_array_equal(got_S, want_S)


def test_time_that_begins_anew_is_not_heard_again():
  samples_S = noise(80 * 512)
  times = np.r_[stamps(40), stamps(40)]
  got_S, _ = follow(samples_S, times)
  np.testing.assert_array_equal(got_S[: 37 * 512], samples_S[: 37 * 512])
  assert len(got_S) < 45 * 512


@pytest.mark.parametrize(("hole", "before"), [(61, 2000), (59, 3)])
def test_no_hole_is_filled_that_is_longer_than_what_was_recorded(hole, before):
  times = stamps(before + 40)
  times[before:] += hole
  times[before + 20 :] += hole
  with pytest.raises(Reject, match="lacks"):
    follow(np.zeros((before + 40) * 512, np.float32), times)


@pytest.mark.parametrize("ratio", [0.95, 0.993, 1.0, 1.007, 1.05])
def test_stretching_is_resampling(ratio):
  time_S = np.arange(RATE)
  tone_S = np.sin(2 * np.pi * 1000 / RATE * time_S).astype(np.float32)
  stretch = Stretch()
  pieces = [stretch.push(tone_S[:500], 1.0)]
  pieces += [
    stretch.push(tone_S[i : i + 333], ratio) for i in range(500, RATE, 333)
  ]
  got_S = np.concatenate([*pieces, stretch.flush()])
  want = 500 + (RATE - 500) * ratio
  assert abs(len(got_S) - want) <= 1
  at_S = np.arange(len(got_S))
  at_S = np.where(at_S < 500, at_S, 500 + (at_S - 500) / ratio)
  want_S = np.sin(2 * np.pi * 1000 / RATE * at_S)
  np.testing.assert_allclose(got_S[20:-40], want_S[20:-40], atol=2e-3)
