"""What is said and how: sentences, voices, phoneme times."""

import numpy as np
import pytest

from data_pipelines.corpus import speech
from data_pipelines.corpus.sentences import is_held_out, make_sentence
from eartalk_jax.errors import UserError

VOICE = speech.Voice("gmw/en-US+f2", 140, 50, 50)


def test_parts_share_no_sentence_and_no_speaker():
  rng = np.random.default_rng(0)
  for held_out in (False, True):
    for _ in range(50):
      assert is_held_out(make_sentence(rng, held_out)) == held_out
  voices = [
    {speech.make_voice(rng, held).espeak.split("+")[1] for _ in range(400)}
    for held in (False, True)
  ]
  assert len(voices[0]) > 30
  assert len(voices[1]) > 8
  assert not voices[0] & voices[1]


def test_speaking_twice_gives_the_same_bytes():
  one, two = (speech.speak("Hello, my friend.", VOICE) for _ in range(2))
  np.testing.assert_array_equal(one.samples_S, two.samples_S)
  assert one.phonemes == two.phonemes


def test_phonemes_are_in_order_and_where_they_sound():
  spoken = speech.speak("Papa, why? My mama bought a big blue boat.", VOICE)
  ends = [p.end for p in spoken.phonemes]
  assert all(
    a.end <= b.start
    for a, b in zip(spoken.phonemes, spoken.phonemes[1:], strict=False)
  )
  assert ends[-1] <= len(spoken.samples_S) / speech.SAMPLE_RATE + 1e-6
  assert "m" in {p.ipa for p in spoken.phonemes}

  def loudness(phoneme):
    span = (phoneme.start, phoneme.end)
    start, end = (round(t * speech.SAMPLE_RATE) for t in span)
    return np.sqrt(np.mean(spoken.samples_S[start:end] ** 2))

  pauses = [p for p in spoken.phonemes if not p.ipa and p.end - p.start > 0.1]
  vowels = [p for p in spoken.phonemes if p.ipa[:1] in "aɑɔuiɪ" and p.ipa]
  assert pauses
  assert max(map(loudness, pauses)) < 0.2 * min(map(loudness, vowels))


def test_no_stress_marks_are_left_in_the_phonemes():
  spoken = speech.speak("A beautiful photo.", VOICE)
  assert not set("ˈˌ") & set("".join(p.ipa for p in spoken.phonemes))


def test_a_voice_that_is_not_there_is_named():
  with pytest.raises(UserError, match="gmw/xx"):
    speech.speak("Hello.", speech.Voice("gmw/xx", 140, 50, 50))


def test_a_track_has_the_asked_length_and_no_phoneme_beyond_it():
  spoken = speech.speak("One, two, three, four, five, six, seven.", VOICE)
  for seconds in (0.5, 1.7, 9.0):
    track = speech.lay_out([spoken, spoken], seconds, 0.2, 0.3)
    assert len(track.samples_S) == round(seconds * speech.SAMPLE_RATE)
    assert all(p.end <= seconds for p in track.phonemes)
    end = round(track.phonemes[-1].end * speech.SAMPLE_RATE) + 1
    if seconds < 9:
      assert np.abs(track.samples_S[end:]).max(initial=0) == 0
