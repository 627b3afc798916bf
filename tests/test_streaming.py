"""Live streams: any cuts, any neighbours, controls, saving, bad input."""

import dataclasses

import jax
import numpy as np
import pytest
from test_generate import generator  # noqa: F401, a fixture

from eartalk_jax.audio import AudioFeatures, log_mel
from eartalk_jax.errors import UserError
from eartalk_jax.streaming import Streams

FRAME = 640  # samples
SECONDS = 1.07  # a little more than 25 frames


@pytest.fixture(scope="module")
def portraits(generator):  # noqa: F811
  rng = np.random.default_rng(0)
  size = generator.size
  return rng.integers(0, 256, (3, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def speech():
  rng = np.random.default_rng(1)
  return rng.normal(0, 0.1, (3, round(16_000 * SECONDS))).astype(np.float32)


@pytest.fixture(scope="module")
def streams(generator):  # noqa: F811
  """Three slots, for tests that leave them free."""
  return Streams(generator, slots=3)


def talk(stream, speech_S, cuts=()):
  """All frames of a stream that gets its speech in pieces; closes it."""
  frames = []
  for piece_S in np.split(speech_S, cuts):
    stream.push(piece_S)
    frames.append(stream.pull())
  stream.finish()
  frames.append(stream.pull())
  stream.close()
  return np.concatenate(frames)


def test_a_stream_makes_the_frames_that_generate_makes(
  generator,  # noqa: F811
  streams,
  portraits,
  speech,
):
  spec = AudioFeatures(bins=generator.mel_bins)
  pose_BTK = np.full((1, 27, 3), 0.5, np.float32)
  whole = generator.generate(
    portraits[:1],
    log_mel(speech[0], spec)[None],
    controls={"pose": pose_BTK},
    portrait_controls={
      "emotion": (np.array([[2.0]], np.float32), np.array([True]))
    },
    seeds=[5],
  )
  want_TYX3 = np.concatenate(list(whole), axis=1)[0]
  stream = streams.open(portraits[0], {"emotion": "sad"}, seed=5, idle=False)
  stream.set("pose", [0.5, 0.5, 0.5])
  got_TYX3 = talk(stream, speech[0])
  assert len(got_TYX3) == round(25 * SECONDS) == 27
  # Another program, so another rounding.
  assert np.abs(got_TYX3.astype(int) - want_TYX3).max() <= 1


@pytest.mark.parametrize("piece", [160, FRAME, 7 * FRAME, 25 * FRAME, 999])
def test_the_cuts_of_the_speech_change_no_bit(
  streams, portraits, speech, piece
):
  want = talk(streams.open(portraits[0]), speech[0])
  cuts = range(piece, len(speech[0]), piece)
  got = talk(streams.open(portraits[0]), speech[0], cuts)
  np.testing.assert_array_equal(got, want)


def test_neighbours_of_any_age_change_no_bit(streams, portraits, speech):
  alone = [talk(streams.open(portraits[i], seed=i), speech[i]) for i in (0, 1)]
  first = streams.open(portraits[0], seed=0)
  first.push(speech[0][: 5 * FRAME])
  begun = first.pull()
  third = streams.open(portraits[2], seed=9)
  third.push(speech[2])
  second = streams.open(portraits[1], seed=1)
  both = talk(second, speech[1], [3000])
  rest = talk(first, speech[0][5 * FRAME :])
  third.close()
  np.testing.assert_array_equal(np.concatenate([begun, rest]), alone[0])
  np.testing.assert_array_equal(both, alone[1])


def test_the_first_frame_comes_with_the_declared_look_ahead(
  streams, portraits, speech
):
  needed = FRAME + round(16_000 * streams.look_ahead_seconds)
  stream = streams.open(portraits[0])
  stream.push(speech[0][: needed - 1])
  assert len(stream.pull()) == 0
  stream.push(speech[0][needed - 1 : needed])
  assert len(stream.pull()) == 1
  assert stream.frame == 1
  stream.close()


def test_a_wish_acts_from_its_frame_until_it_is_taken_back(
  streams, portraits, speech
):
  def run(*wishes):
    stream = streams.open(portraits[0])
    for frame, value in wishes:
      if value is None:
        stream.clear("pose", frame)
      else:
        stream.set("pose", value, frame)
    return talk(stream, speech[0])

  plain = run()
  turned = run((6, [0.9, 0.0, -0.9]))
  np.testing.assert_array_equal(turned[:6], plain[:6])
  assert (turned[6] != plain[6]).any()
  briefly = run((6, [0.9, 0.0, -0.9]), (9, None))
  np.testing.assert_array_equal(briefly[:9], turned[:9])
  assert (briefly[9] != turned[9]).any()
  # Of two wishes for a frame the later one holds.
  np.testing.assert_array_equal(run((6, [0.1] * 3), (6, None)), plain)


def test_a_wish_without_a_frame_acts_on_the_next_one(
  streams, portraits, speech
):
  def run(mood, frame):
    stream = streams.open(portraits[0])
    stream.push(speech[0][: 6 * FRAME])
    begun = stream.pull()
    stream.set("emotion", mood, frame)
    return begun, talk(stream, speech[0][6 * FRAME :])

  begun, now = run("glad", None)
  _, named = run("glad", len(begun))
  np.testing.assert_array_equal(now, named)
  assert (now[0] != run("cross", None)[1][0]).any()


def test_a_saved_stream_goes_on_bit_by_bit_elsewhere(
  generator,  # noqa: F811
  streams,
  portraits,
  speech,
):
  want = talk(streams.open(portraits[1], seed=3), speech[1])
  stream = streams.open(portraits[1], seed=3)
  stream.set("pose", [0.2, 0.2, 0.2], 9)
  stream.clear("pose", 9)
  stream.push(speech[1][:5000])
  begun = stream.pull()
  stream.push(speech[1][5000:5700])
  saved = stream.save()
  stream.close()
  elsewhere = Streams(generator, slots=2)
  elsewhere.open(portraits[0])
  rest = talk(elsewhere.restore(saved), speech[1][5700:])
  np.testing.assert_array_equal(np.concatenate([begun, rest]), want)


def test_what_was_made_but_not_pulled_is_saved(streams, portraits, speech):
  first, second = streams.open(portraits[0]), streams.open(portraits[1])
  for stream in (first, second):
    stream.push(speech[0])
  made = len(first.pull())
  copy = streams.restore(second.save())
  np.testing.assert_array_equal(copy.pull(), second.pull())
  assert copy.frame == made
  for stream in (first, second, copy):
    stream.close()


def test_joining_leaving_and_wishing_compile_nothing(
  generator,  # noqa: F811
  portraits,
  speech,
):
  streams = Streams(generator, slots=2)
  talk(streams.open(portraits[0]), speech[0])
  before = streams.compilations, streams._begin._cache_size()
  assert before[0] == 1
  for index in range(3):
    stream = streams.open(portraits[index], {"pose": [0, 0, index / 3]}, index)
    stream.set("emotion", "sad", 3)
    talk(stream, speech[index], [1000, 1001, 4000])
  assert before == (streams.compilations, streams._begin._cache_size())


def test_more_streams_than_slots_are_refused(generator, portraits):  # noqa: F811
  streams = Streams(generator, slots=1)
  stream = streams.open(portraits[0])
  with pytest.raises(UserError, match="all 1 slots are taken"):
    streams.open(portraits[1])
  with pytest.raises(UserError, match="all 1 slots are taken"):
    streams.restore(stream.save())
  stream.close()
  streams.open(portraits[1])
  with pytest.raises(UserError, match="slots=0"):
    Streams(generator, slots=0)


def test_a_closed_stream_can_do_nothing(streams, portraits):
  stream = streams.open(portraits[0])
  stream.close()
  for act in (
    stream.pull,
    stream.finish,
    stream.save,
    stream.close,
    lambda: stream.push(np.zeros(1)),
    lambda: stream.clear("pose"),
  ):
    with pytest.raises(UserError, match="closed"):
      act()


@pytest.mark.parametrize(
  ("act", "message"),
  [
    (lambda s: s.push(np.zeros(9), rate=44_100), "44100 Hz.*16000"),
    (lambda s: s.push(np.zeros(9, np.int32)), r"int32\[9\].*int16"),
    (lambda s: s.push(np.zeros((2, 9))), r"\[2, 9\].*mono"),
    (lambda s: s.push(np.full(9, np.nan)), "NaN"),
    (lambda s: s.push(np.zeros(9), first=3160), "3160.* sample 3000 is next"),
    (lambda s: s.set("poes", [0, 0, 0]), "did you mean 'pose'"),
    (lambda s: s.set("pose", [0, 0]), "2 numbers"),
    (lambda s: s.set("pose", [0, 0, 1.5]), "1.5 is not"),
    (lambda s: s.set("pose", None), r"clear\(\)"),
    (lambda s: s.set("emotion", "gald"), "did you mean 'glad'"),
    (lambda s: s.clear("pose", -1), "frame -1 is past"),
  ],
)
def test_bad_input_is_named_and_harms_nobody(
  streams, portraits, speech, act, message
):
  want = talk(streams.open(portraits[0]), speech[0])
  stream = streams.open(portraits[0])
  stream.push(speech[0][:3000])
  with pytest.raises(UserError, match=message):
    act(stream)
  np.testing.assert_array_equal(talk(stream, speech[0][3000:]), want)


def test_nothing_follows_the_end(streams, portraits, speech):
  stream = streams.open(portraits[0])
  stream.push(speech[0])
  stream.finish()
  with pytest.raises(UserError, match="finish"):
    stream.push(speech[0])
  stream.finish()  # once more is no harm
  assert len(stream.pull()) == 27
  with pytest.raises(UserError, match="frame 3 is past; the next frame is 27"):
    stream.set("pose", [0, 0, 0], 3)
  stream.close()


def test_portraits_that_do_not_fit_are_refused(streams, portraits):
  for portrait in (portraits[0][:-1], portraits[0] / 255, portraits[0][..., 0]):
    with pytest.raises(UserError, match="uint8"):
      streams.open(portrait)
  with pytest.raises(UserError, match="portrait: no control 'nose'"):
    streams.open(portraits[0], {"nose": 1})


def test_what_is_no_saved_stream_of_this_model_is_refused(
  generator,  # noqa: F811
  streams,
  portraits,
):
  stream = streams.open(portraits[0])
  saved = stream.save()
  stream.close()
  weights = jax.tree.map(lambda x: x + 1e-3, generator.weights)
  other = dataclasses.replace(generator, weights=weights)
  for streams_of_other in (
    Streams(other),
    Streams(generator.sampling(steps=1)),
    Streams(generator, guidance={"audio": 1.0}),
  ):
    with pytest.raises(UserError, match="another model"):
      streams_of_other.restore(saved)
  flipped = bytearray(saved)
  flipped[len(saved) // 2] ^= 1
  for damaged in (b"", saved[:-5], b"hello", bytes(flipped)):
    with pytest.raises(UserError, match="damaged"):
      streams.restore(damaged)


def test_guidance_is_a_number_that_each_stream_may_change(
  generator,  # noqa: F811
  portraits,
  speech,
):
  guided = Streams(generator, slots=2, guidance={"audio": 1.0})
  alone, plain, loud = (
    streams.open(portraits[0])
    for streams in (Streams(generator), *[guided] * 2)
  )
  loud.guide("audio", 3.0)
  for stream in (alone, plain, loud):
    stream.push(speech[0])
  frames = [stream.pull().astype(int) for stream in (alone, plain, loud)]
  assert np.abs(frames[1] - frames[0]).max() <= 1
  assert np.abs(frames[2] - frames[0]).max() > 3
  assert guided.compilations == 1
  with pytest.raises(UserError, match="pose is not guided here"):
    loud.guide("pose", 2.0)
  with pytest.raises(UserError, match="finite"):
    loud.guide("audio", float("nan"))
  with pytest.raises(UserError, match="unknown signal 'posse'"):
    Streams(generator, guidance={"posse": 2.0})


def test_a_saved_stream_keeps_its_guidance(generator, portraits, speech):  # noqa: F811
  streams = Streams(generator, slots=2, guidance={"audio": 1.0})
  first = streams.open(portraits[0])
  first.guide("audio", 3.0)
  second = streams.restore(first.save())
  for stream in (first, second):
    stream.push(speech[0])
  np.testing.assert_array_equal(first.pull(), second.pull())
