"""Mouth shapes follow the phonemes and their times."""

import numpy as np

from data_pipelines.corpus.speech import Phoneme
from data_pipelines.corpus.visemes import mouth_shapes

TIMES_T = np.arange(0, 2, 0.01)


def shapes(*phonemes):
  return mouth_shapes([Phoneme(*p) for p in phonemes], TIMES_T, 2.0)


def at(mouth_T3, time):
  return mouth_T3[round(time * 100)]


def test_the_mouth_is_closed_in_pauses_and_before_and_after_speech():
  mouth_T3 = shapes((0.5, 0.8, "ɑ"), (0.8, 1.2, ""), (1.2, 1.5, "a"))
  for silent in (0.2, 1.0, 1.8):
    assert at(mouth_T3, silent)[0] < 0.01
  for spoken in (0.65, 1.35):
    assert at(mouth_T3, spoken)[0] > 0.9


def test_lips_close_for_one_video_frame_on_a_short_bilabial():
  for bilabial in "mbp":
    mouth_T3 = shapes((0.4, 0.7, "ɑ"), (0.7, 0.74, bilabial), (0.74, 1, "ɑ"))
    closed_T = TIMES_T[mouth_T3[:, 0] < 0.05]
    inside = closed_T[(closed_T > 0.5) & (closed_T < 0.9)]
    assert np.ptp(inside) > 0.039


def test_a_gap_too_short_to_close_the_lips_keeps_them_open():
  mouth_T3 = shapes((0.4, 0.7, "a"), (0.7, 0.73, ""), (0.73, 1, "a"))
  assert at(mouth_T3, 0.715)[0] > 0.8


def test_diphthongs_move_from_one_vowel_to_the_other():
  mouth_T3 = shapes((0.5, 0.9, "aʊ"), (0.9, 1.2, "s"))
  assert at(mouth_T3, 0.6)[0] > 0.8 > 0.6 > at(mouth_T3, 0.82)[0]
  assert at(mouth_T3, 0.82)[2] > 0.6 > 0.3 > at(mouth_T3, 0.6)[2]


def test_spread_and_round_vowels_differ_in_width_and_rounding():
  mouth_T3 = shapes((0.3, 0.6, "iː"), (1.0, 1.3, "uː"))
  spread, rounded = at(mouth_T3, 0.45), at(mouth_T3, 1.15)
  assert spread[1] > rounded[1] + 0.5
  assert rounded[2] > spread[2] + 0.5


def test_moving_the_phonemes_moves_the_mouth():
  early_T3 = shapes((0.3, 0.5, "b"), (0.5, 0.8, "ɑ"))
  late_T3 = shapes((0.8, 1.0, "b"), (1.0, 1.3, "ɑ"))
  np.testing.assert_allclose(early_T3[:100], late_T3[50:150], atol=1e-5)


def test_neighbours_beyond_100_ms_do_not_matter():
  one_T3 = shapes((0.4, 0.6, "i"), (0.6, 1.0, "ɑ"), (1.0, 1.2, "s"))
  other_T3 = shapes((0.4, 0.6, "w"), (0.6, 1.0, "ɑ"), (1.0, 1.2, "m"))
  np.testing.assert_allclose(at(one_T3, 0.8), at(other_T3, 0.8), atol=1e-6)
