"""A speech encoder from elsewhere: 50 vectors a second, 200 ms of look-ahead.

Nothing outside of this file knows it, and the whole road is walked with it.
"""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import pytest
from road import Road, beeps, patches

from data_pipelines import shards
from eartalk_jax import speech
from eartalk_jax.checkpoints.resumption import read_run
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.jobs.talker import train
from eartalk_jax.spans import FRAME_SAMPLES
from eartalk_jax.speech import encoding, features
from eartalk_jax.speech.listening import Listener
from eartalk_jax.speech.windows import Windows
from eartalk_jax.streaming import Streams
from eartalk_jax.tokenizers.hashing import fingerprint_of

HALF = FRAME_SAMPLES // 2


@dataclasses.dataclass(frozen=True)
class Config:
  gain: float = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Loudness:
  """How loud 20 ms are, and how loud the 200 ms after the frame will be."""

  config: Config = Config()
  params = {"scale": np.array(1, np.float32)}
  kind, shape, before, after, step = "loud", (2, 2), 0, 3200, 4

  silence_AF = np.zeros((2, 2), np.float32)

  @property
  def fingerprint(self):
    return fingerprint_of(self.config, self.params)

  def apply(self, params, samples_BS):
    loud_BS = jnp.abs(samples_BS) * self.config.gain * params["scale"]
    b, frames = len(samples_BS), (samples_BS.shape[1] - 3200) // FRAME_SAMPLES
    now = loud_BS[:, : frames * FRAME_SAMPLES].reshape(b, frames, 2, HALF)
    soon = jnp.stack(
      [
        loud_BS[:, (t + 1) * FRAME_SAMPLES :][:, :3200].mean(1)
        for t in range(frames)
      ],
      axis=1,
    )
    soon_Bt2 = jnp.repeat(soon[..., None], 2, axis=-1)
    return jnp.stack([now.mean(-1), soon_Bt2], axis=-1)


@pytest.fixture(scope="module", autouse=True)
def known():
  def load(config, arrays):
    assert set(arrays) == {"scale"}
    return Loudness(from_config(Config, config))

  with pytest.MonkeyPatch.context() as patch:
    kind = types.SimpleNamespace(load=load)
    patch.setitem(speech.KINDS, "loud", kind)
    yield


@pytest.mark.parametrize("cuts", [[100], [640] * 9, [5000, 1, 4000]])
def test_pieces_make_the_features_of_the_whole(cuts):
  samples_S, _ = beeps(13, seed=0)
  whole_TAF = features(Loudness(), samples_S)
  assert whole_TAF.shape == (13, 2, 2)
  listener = Listener(Loudness())
  pieces = [listener.push(p) for p in np.split(samples_S, np.cumsum(cuts))]
  np.testing.assert_array_equal(
    np.concatenate([*pieces, listener.finish()]), whole_TAF
  )
  # Frame 8 begins the third window, which waits for 200 ms after frame 11.
  first = Listener(Loudness())
  needed = 12 * FRAME_SAMPLES + 3200
  assert len(first.push(np.zeros(needed - 1, np.int16))) == 8
  assert len(first.push(np.zeros(1, np.int16))) == 4


@pytest.fixture(scope="module")
def road(known, tmp_path_factory):
  root, mixed = tmp_path_factory.mktemp("road"), {"states": 2}
  road = Road(root, patches(), Loudness(), audio=mixed)
  road.train(4, 8)
  return road


@pytest.fixture(scope="module")
def streams(road):
  return Streams(road.generator(), slots=3)


def test_the_whole_road(road):
  samples_S, _ = beeps(30, seed=99)
  film_T = road.film(samples_S)
  assert len(film_T) == 30
  stream_T = road.stream(samples_S, cut=9_000)
  assert np.abs(stream_T - film_T).max() < 6  # what the codec does
  # The stated latency is that of the encoder: its window and what it awaits.
  streams = Streams(road.generator())
  assert streams.look_ahead_seconds == pytest.approx(0.2 + 3 / 25)
  assert road.evaluate()["frames"] == 75
  # The shape of the features was read off the tokens, and is the run's.
  audio = read_run(road.root / "talker")["model"]["audio"]
  assert (audio["steps"], audio["bins"], audio["states"]) == (2, 2, 2)


def test_states_that_the_tokens_have_not_are_refused(road):
  config = road.config(4)
  config.model.audio.states = 3
  with pytest.raises(UserError, match="bins 2 .* 3 states; set"):
    train(config, road.root / "odd")


def test_tokens_hold_what_is_heard_live(road):
  tokens = shards.open_dataset(road.root / "tokens", "tokens")
  stored_TAF = tokens.source[1]["features"]
  assert stored_TAF.dtype == np.float16
  samples_S, _ = beeps(29, seed=1)
  live_TAF = features(Loudness(), samples_S)
  assert live_TAF.dtype == np.float32
  np.testing.assert_array_equal(stored_TAF, live_TAF)
  exact_tAF = Loudness().apply(Loudness.params, samples_S[None] / 32768.0)[0]
  difference = np.abs(live_TAF[: len(exact_tAF)] - exact_tAF).max()
  assert 0 < difference < 1e-3


def test_numbers_beyond_float16_are_its_largest():
  far = encoding.rounded(Loudness(), np.float32([1e9, -1e9, 65_504, np.nan]))
  np.testing.assert_array_equal(
    far, np.float32([65_504, -65_504, 65_504, np.nan])
  )


def test_what_is_beyond_the_look_ahead_changes_nothing():
  samples_S, _ = beeps(14, seed=3)
  changed_S = samples_S.copy()
  changed_S[8 * FRAME_SAMPLES + 3200 :] += 999
  before, after = (features(Loudness(), s) for s in (samples_S, changed_S))
  np.testing.assert_array_equal(before[:8], after[:8])
  assert (before[8:] != after[8:]).any()


def noise(frames, seed):
  rng = np.random.default_rng(seed)
  return rng.normal(0, 0.1, frames * FRAME_SAMPLES + 7).astype(np.float32)


def talk(streams, speeches, piece):
  """(frames, features that were heard) of streams that speak at once."""
  heard, frames, opened = {}, {}, []
  size = streams.generator.size
  for row, _ in enumerate(speeches):
    portrait_YX3 = np.full((size, size, 3), 50 * row, np.uint8)
    stream = streams.open(portrait_YX3, seed=row)
    heard[row], frames[row] = recorded(stream), []
    opened.append(stream)
  most = max(map(len, speeches))
  for start in range(0, most, piece):
    for row, (stream, samples_S) in enumerate(
      zip(opened, speeches, strict=True)
    ):
      # Each one's pieces are of another size, and pulled at other times.
      cut = slice(start * (row + 2) // 2, (start + piece) * (row + 2) // 2)
      stream.push(samples_S[cut])
      ready = stream.ready
      made = sum(map(len, stream.made))
      if row != 1:
        frames[row].append(stream.pull())
        assert len(frames[row][-1]) == ready + made
  for row, stream in enumerate(opened):
    stream.finish()
    frames[row].append(stream.pull())
    stream.close()
  return [np.concatenate(frames[r]) for r in frames], [
    np.concatenate(heard[r]) for r in heard
  ]


def recorded(stream):
  """A list that gets all features that a stream takes."""
  found, push = [], stream.heard.push
  stream.heard.push = lambda piece: (found.append(piece), push(piece))
  return found


@pytest.mark.parametrize("piece", [333, 5000])
def test_streams_hear_as_each_alone_and_as_the_whole(streams, piece):
  speeches = [noise(frames, seed) for seed, frames in enumerate((13, 21, 17))]
  together, heard = talk(streams, speeches, piece)
  for row, samples_S in enumerate(speeches):
    np.testing.assert_array_equal(heard[row], features(Loudness(), samples_S))
    assert len(together[row]) == len(heard[row])
  silent = [noise(0, 0)] * 2
  alone, _ = talk(streams, [speeches[0]], 700)
  np.testing.assert_array_equal(together[0], alone[0])
  last, _ = talk(streams, [*silent, speeches[2]], 700)
  np.testing.assert_array_equal(together[2], last[2])


@pytest.mark.parametrize(
  "change",
  [{"finished": True}, {"frames": 4}, {"samples": 10**6, "finished": True}],
)
def test_saved_samples_that_lack_some_are_refused(change):
  windows = Windows(Loudness())
  windows.push(noise(9, 0))
  saved = windows.save() | change
  with pytest.raises(UserError):
    Windows(Loudness()).load(saved)


@pytest.fixture
def calls(monkeypatch):
  """The windows of every call, where rows are computed together."""
  found, compiled = [], encoding.compiled

  def counting(speech):
    run = compiled(speech)
    return lambda windows_BS: (found.append(windows_BS), run(windows_BS))[1]

  monkeypatch.setattr(encoding, "compiled", counting)
  monkeypatch.setattr(encoding, "one_by_one", lambda: False)
  return found


def test_one_call_serves_all_slots(streams, calls):
  size = streams.generator.size
  portrait_YX3 = np.zeros((size, size, 3), np.uint8)
  opened = [streams.open(portrait_YX3) for _ in range(2)]
  samples_S, window = noise(12, 0), 4 * FRAME_SAMPLES + 3200
  for start in range(0, len(samples_S), 640):
    for stream in opened:
      stream.push(samples_S[start : start + 640])
    frames = [len(stream.pull()) for stream in opened]
    assert frames[0] == frames[1]
  # Of 12 frames 200 ms are awaited: one window so far, and one for the rest.
  assert [call.shape for call in calls] == [(3, window)]
  np.testing.assert_array_equal(calls[0][0], calls[0][1])
  assert calls[0][0].any() and not calls[0][2].any()
  # What nobody pulls waits; whoever is pulled takes the rows that are left.
  left, pulled = opened
  before = left.save()
  pulled.finish()
  pulled.pull()
  assert len(calls) == 2 and calls[1][:2].any(1).all() and not calls[1][2].any()
  pulled.close()
  left.close()
  copy = streams.restore(before)
  copy.finish()
  assert len(copy.pull()) == 12 - 4
  copy.close()


def test_rows_together_hear_what_one_hears(calls):
  samples_S = noise(45, 1)
  together = features(Loudness(), samples_S)
  assert {call.shape[0] for call in calls} == {encoding.TOGETHER}
  assert len(calls) == 2  # of 12 windows
  encoding.one_by_one = lambda: True  # what `calls` puts back
  np.testing.assert_allclose(
    together, features(Loudness(), samples_S), rtol=0, atol=2e-5
  )
