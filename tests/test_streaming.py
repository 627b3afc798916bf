"""Live streams: any cuts, any neighbours, controls, saving, bad input."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import re
import textwrap
import threading

import jax
import numpy as np
import pytest
import talkers
from flax import serialization
from test_generate import generator  # noqa: F401, a fixture

import eartalk_jax
from eartalk_jax.errors import UserError
from eartalk_jax.speech import features
from eartalk_jax.streaming import Streams
from eartalk_jax.streaming.stream import MOST_WAITING

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


def test_the_example_of_the_package_makes_a_video(
  generator,  # noqa: F811
  streams,
  portraits,
  speech,
  monkeypatch,
):
  shown = re.search("(?m)^  import (?s:.*?)(?=^\\w)", eartalk_jax.__doc__)[0]
  given = {"portrait_YX3": portraits[0], "samples_S": speech[0]}
  monkeypatch.setattr(eartalk_jax, "load_generator", lambda _: generator)
  monkeypatch.setattr(eartalk_jax, "Streams", lambda *_, slots: streams)
  monkeypatch.setattr(eartalk_jax, "writing_video", _Film)
  exec(textwrap.dedent(shown), given)
  given["stream"].close()
  stream = streams.open(portraits[0])
  stream.set("pose", [0.3, 0, 0], frame=5)
  np.testing.assert_array_equal(given["film"].frames, talk(stream, speech[0]))


class _Film(contextlib.nullcontext):
  """Takes frames where a video would be written."""

  def __init__(self, path, size_YX):
    super().__init__(self)
    self.frames, self.size_YX = [], size_YX

  def write(self, frame_YX3):
    assert frame_YX3.shape == (*self.size_YX, 3)
    self.frames.append(frame_YX3)


def test_a_stream_makes_the_frames_that_generate_makes(
  generator,  # noqa: F811
  streams,
  portraits,
  speech,
):
  pose_BTK = np.full((1, 27, 3), 0.5, np.float32)
  whole = generator.generate(
    portraits[:1],
    features(generator.speech, speech[0])[None],
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
  # In as many slots: in another number of them rounding is another.
  elsewhere = Streams(generator, slots=3)
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
  for slots in (0, -1, 10**9, 1.5, True, "2", None, float("nan")):
    with pytest.raises(UserError, match="slots = .*from 1 to 4096"):
      Streams(generator, slots=slots)


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
    (lambda s: s.push(np.full(9, np.inf)), "infinite"),
    (lambda s: s.push(np.full(9, 1e300)), r"1e\+300.*\[-1, 1\].*by 32768"),
    (lambda s: s.push(32767.0 * np.ones(9)), r"32767.*\[-1, 1\].*by 32768"),
    (lambda s: s.push(np.float16([0, -9])), r"sample of 9.*\[-1, 1\]"),
    (lambda s: s.push([[0.1], [0.2, 0.3]]), "mono"),
    (lambda s: s.push("speech"), "mono"),
    (lambda s: s.push(None), "mono"),
    (lambda s: s.push(np.zeros(9), rate=float("nan")), "nan Hz.*16000"),
    (lambda s: s.push(np.zeros(9), rate=np.zeros(2)), "Hz.*16000"),
    (lambda s: s.push(np.zeros(9), first=3160), "3160.* sample 3000 is next"),
    (lambda s: s.push(np.zeros(9), first=3000.0), "first = 3000.0"),
    (lambda s: s.push(np.zeros(9), first=np.zeros(2)), "first = array"),
    *[
      (lambda s, f=f: s.set("pose", [0, 0, 0], f), "frame = .*to 2147483647")
      for f in (float("nan"), 30.5, "30", True, 2**31, 10**5000, [30])
    ],
    (lambda s: s.set(["pose"], [0, 0, 0]), "no control"),
    (lambda s: s.set("pose", [18, -5, 0]), "18 is not.*degrees"),
    (lambda s: s.set("emotion", np.array(["glad", "sad"])), "no category"),
    (lambda s: s.set("emotion", ["glad"]), "no category"),
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
  with pytest.raises(UserError, match=message) as caught:
    act(stream)
  assert len(str(caught.value).splitlines()) == 1
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
  for portrait in (None, [[1], [2, 3]], portraits[:0], portraits[:2]):
    with pytest.raises(UserError, match="uint8|several|no port|2 port"):
      streams.open(portrait)
  with pytest.raises(UserError, match="portrait: no control 'nose'"):
    streams.open(portraits[0], {"nose": 1})
  with pytest.raises(UserError, match="portrait: pose: 18 is not.*degrees"):
    streams.open(portraits[0], {"pose": [18, 0, 0]})
  with pytest.raises(UserError, match="portrait: .*give {control: value}"):
    streams.open(portraits[0], ["pose"])
  for seed in (-1, 2**32, 1.5, "x", None, True, float("nan"), [1]):
    with pytest.raises(UserError, match="seed = .*from 0 to 4294967295"):
      streams.open(portraits[0], seed=seed)
  # Nobody took a slot.
  for stream in [streams.open(portraits[0]) for _ in range(3)]:
    stream.close()


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
  for damaged in (b"", saved[:-5], b"hello", bytes(flipped), "text", None):
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
  for scale in (float("nan"), 1e6, True, "2", None, [2.0], 10**400):
    with pytest.raises(UserError, match="finite"):
      loud.guide("audio", scale)
  with pytest.raises(UserError, match="unknown signal 'posse'"):
    Streams(generator, guidance={"posse": 2.0})
  with pytest.raises(UserError, match="audio = "):
    Streams(generator, slots=2, guidance={"audio": [1.0, 2.0]})


def test_a_saved_stream_keeps_its_guidance(generator, portraits, speech):  # noqa: F811
  streams = Streams(generator, slots=2, guidance={"audio": 1.0})
  first = streams.open(portraits[0])
  first.guide("audio", 3.0)
  second = streams.restore(first.save())
  for stream in (first, second):
    stream.push(speech[0])
  np.testing.assert_array_equal(first.pull(), second.pull())


def pieces_of(speech_S, size):
  return np.split(speech_S, range(size, len(speech_S), size))


def test_threads_that_each_have_a_stream_change_no_bit(
  streams, portraits, speech
):
  def run(index):
    stream = streams.open(portraits[index], seed=index)
    for number in range(20):
      stream.set("pose", [number / 20, 0, 0], number)
    frames = []
    for piece_S in pieces_of(speech[index], 900):
      stream.push(piece_S)
      frames.append(stream.pull())
    stream.finish()
    frames.append(stream.pull())
    saved = stream.save()
    stream.close()
    return np.concatenate(frames), saved

  alone = [run(index) for index in range(3)]
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    together = list(pool.map(run, range(3)))
  for (want, want_saved), (got, got_saved) in zip(alone, together, strict=True):
    np.testing.assert_array_equal(got, want)
    assert got_saved == want_saved


def test_one_thread_pushes_and_others_pull_the_same_stream(
  streams, portraits, speech
):
  want = talk(streams.open(portraits[0]), speech[0])
  stream, frames, ended = streams.open(portraits[0]), {}, threading.Event()

  def pull():
    while True:
      last = ended.is_set()
      with stream.lock:  # so that it is known which frames these are
        begin = stream.frame - sum(map(len, stream.made))
        frames[begin] = stream.pull()
      if last:
        return

  def push():
    for piece_S in pieces_of(speech[0], 300):
      stream.push(piece_S)
    stream.finish()
    ended.set()

  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    for done in [pool.submit(act) for act in (pull, pull, push)]:
      done.result()
  stream.close()
  got = [frames[begin] for begin in sorted(frames)]
  np.testing.assert_array_equal(np.concatenate(got), want)


def test_frames_that_nobody_pulls_are_bounded_and_none_is_lost(
  generator,  # noqa: F811
  portraits,
  speech,
):
  streams = Streams(generator, slots=2)
  long_S = np.concatenate([speech[0], speech[1], speech[2]])
  want = talk(streams.open(portraits[1], seed=1), long_S)
  pulled = streams.open(portraits[0])
  left = streams.open(portraits[1], seed=1)
  for stream in (pulled, left):
    stream.push(long_S)
    stream.finish()
  assert len(pulled.pull()) == len(want) > MOST_WAITING
  assert len(left.made) == left.frame == MOST_WAITING
  np.testing.assert_array_equal(left.pull(), want)


def test_a_frame_that_is_not_finite_stops_its_stream_alone(
  generator,  # noqa: F811
  portraits,
  speech,
):
  streams = Streams(talkers.breaking(generator), slots=2)

  def run(*wishes, index=0):
    stream = streams.open(portraits[index], seed=index, idle=False)
    for frame, pose in wishes:
      stream.set("pose", pose, frame)
    return stream

  usual = (0, [0, 0, 0])
  want = talk(run(usual), speech[0])
  beside = talk(run(usual, index=1), speech[1])
  broken = run(usual, (6, [1, 1, 1]), (7, [0, 0, 0]))
  other = run(usual, index=1)
  for stream, speech_S in ((broken, speech[0]), (other, speech[1])):
    stream.push(speech_S)
    stream.finish()
  np.testing.assert_array_equal(other.pull(), beside)
  with pytest.raises(UserError, match="frame 6 is no picture.*pull again"):
    broken.pull()
  assert broken.frame == 6
  # What was made is not lost, and that frame is an error again.
  np.testing.assert_array_equal(broken.pull(), want[:6])
  for _ in range(2):
    with pytest.raises(UserError, match="frame 6 is no picture"):
      broken.pull()
  # It recovers when its setting does, as if nothing had been, saved or not.
  copy = broken.save()
  for stream in (broken, streams):
    if stream is streams:
      broken.close()
      stream = streams.restore(copy)
    stream.set("pose", [0, 0, 0])
    np.testing.assert_array_equal(stream.pull(), want[6:])
  assert streams.compilations == 1


def repacked(saved, change):
  """Saved bytes of another content, whole all the same."""
  found = serialization.msgpack_restore(saved[32:])
  change(found["content"])
  packed = serialization.msgpack_serialize(found)
  return hashlib.sha256(packed).digest() + packed


def put(*path, value):
  def change(content):
    for step in path[:-1]:
      content = content[step]
    content[path[-1]] = value

  return change


@pytest.mark.parametrize(
  "change",
  [
    put("heard", value=None),
    put("heard", "heard", value=np.zeros((9, 4, 6), np.float32)),
    put("heard", "heard", value=np.zeros((9, 4, 5), np.float32)),
    put("heard", "heard", value=[1, 2]),
    put("heard", "first", value=10**9),
    put("heard", "latent", value=-1),
    put("listener", "samples", value=-1),
    put("listener", "buffer", value=np.zeros(7, np.float32)),
    put("listener", "frames", value=10**9),
    put("listener", value={}),
    put("shown", value="all"),
    put("portrait", value=np.zeros((8, 8, 3), np.uint8)),
    put("timeline", "frame", value=1.5),
    put("timeline", "later", value=[[0, "pose"]]),
    put("timeline", "later", value=[["9", "pose", [0, 0, 0]]]),
    put("timeline", "now", value={"pose": [0, 0]}),
    put("timeline", "now", value={"pose": [0, 0, float("nan")]}),
    put("timeline", "now", value={"emotion": [99.0]}),
    put("timeline", "now", value={"nose": [0.0]}),
    put("timeline", "now", value=[]),
    put("idle", value=[None, -1]),
    put("idle", value=[["a"], 0]),
    put("idle", value=7),
    put("made", value=[np.zeros((1, 8, 8, 3), np.uint8)]),
    put("made", value=[np.zeros((1, 32, 32, 3), np.uint8)] * 51),
    put("made", value=["frame"]),
    put("state", value=[]),
    put("state", 0, value=np.zeros(3, np.int32)),
    put("state", 1, value="x"),
    put("scales", value=None),
    put("scales", value={"audio": 1.0}),
    lambda content: content.clear(),
  ],
)
def test_whole_bytes_of_content_that_fits_nothing_take_no_slot(
  streams, portraits, change
):
  stream = streams.open(portraits[0], {"pose": [0, 0, 0]})
  saved = stream.save()
  stream.close()
  with pytest.raises(UserError, match="does not load") as caught:
    streams.restore(repacked(saved, change))
  assert len(str(caught.value).splitlines()) == 1
  assert streams._taken == [None] * 3


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x91" * 2000, b"\x93abc"])
def test_whole_bytes_that_are_no_content_are_a_line(streams, content):
  saved = hashlib.sha256(content).digest() + content
  with pytest.raises(UserError, match="does not load"):
    streams.restore(saved)


def test_floats_a_little_beyond_the_range_are_speech(
  streams, portraits, speech
):
  loud_S = np.float32(8) * speech[0] / np.abs(speech[0]).max()
  assert len(talk(streams.open(portraits[0]), loud_S)) == 27
