"""What is asked of an exported model: right, or an error of one line."""

import dataclasses
import threading

import exported
import numpy as np
import pytest
import torch

from eartalk_jax.export.modeling_eartalk import (
  BrokenFrameError,
  EARTalking,
  ForeignTokenizerConfig,
  Mel,
  Stream,
)

PORTRAIT = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
SPEECH = np.random.default_rng(0).normal(0, 0.1, 640 * 6).astype(np.float32)
HUGE = 10**400


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  return exported.load(
    exported.torch_folder(tmp_path_factory.mktemp("live") / "out")
  )


def refused(function, *words, **settings):
  """The message, of one line."""
  with pytest.raises(ValueError) as caught:
    function(*words, **settings)
  message = str(caught.value)
  assert len(message.splitlines()) == 1
  assert len(message) < 300
  return message


def frames_of(stream):
  stream.push(SPEECH)
  stream.finish()
  return np.stack(list(stream.pull()))


@pytest.mark.parametrize(
  "frame", [-1, np.nan, np.inf, 30.5, 3.0, "30", "x", 10**30, HUGE, True, [1]]
)
def test_a_frame_is_a_whole_number_and_a_bad_one_blocks_nothing(model, frame):
  stream = Stream(model, PORTRAIT)
  assert "frame" in refused(stream.set, "emotion", "sad", frame)
  stream.set("emotion", "happy", np.int64(2))
  expected = Stream(model, PORTRAIT)
  expected.set("emotion", "happy", 2)
  assert np.array_equal(frames_of(stream), frames_of(expected))


def test_a_frame_of_the_past_is_refused(model):
  stream = Stream(model, PORTRAIT)
  frames_of(stream)
  assert "past" in refused(stream.set, "emotion", "sad", 5)
  stream.set("emotion", "sad", 6)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("emotion", value)
    for value in ("x", 1, [], {}, np.zeros(3), np.array(["sad", "sad"]), True)
  ]
  + [
    ("pose", value)
    for value in (
      "x", "0.5", 0.5, [0, 0], [0, 0, 0, 0], [0, 0, "0"], [0, 0, True],
      [0, 0, np.nan], [np.inf, 0, 0], [0, 0, 1.1], [0, 0, HUGE], [[0, 0, 0]],
      {"0": 1}, 1j, [0, 0, 1j], np.zeros((1, 3)), np.array("x"),
    )
  ]
  + [(name, [0, 0, 0]) for name in ("posee", "", None, 3, ["pose"], "x" * 999)],
)  # fmt: skip
def test_impossible_wishes_are_a_line_wherever_they_are_said(
  model, name, value
):
  stream = Stream(model, PORTRAIT)
  refused(stream.set, name, value)
  if isinstance(name, (str, int, type(None))):
    refused(Stream, model, PORTRAIT, known={name: value})
    refused(list, model.generate(PORTRAIT, SPEECH, {name: {0: value}}))
  if not isinstance(name, str) or name != "pose":
    return
  stream.set(name, np.float32([0.1, 0, -1]))
  stream.set(name, torch.tensor([0.1, 0, -1]))
  stream.set(name, None)


@pytest.mark.parametrize(
  "scale", [np.nan, np.inf, -np.inf, 1e30, -1e3, HUGE, "2", True, None, [1], 1j]
)
def test_guidance_has_sane_bounds(model, scale):
  refused(Stream, model, PORTRAIT, guidance={"audio": scale})
  refused(Stream, model, PORTRAIT, guidance={"audioo": 1.0})
  refused(Stream, model, PORTRAIT, guidance=["audio"])
  frames_of(Stream(model, PORTRAIT, guidance={"audio": 1.5, "pose": 0}))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, 1.0, "x", None, True, HUGE])
def test_a_seed_is_a_whole_number_of_32_bits(model, seed):
  assert "seed" in refused(Stream, model, PORTRAIT, seed=seed)
  Stream(model, PORTRAIT, seed=np.uint32(2**32 - 1))


@pytest.mark.parametrize(
  "portrait",
  [
    PORTRAIT[:8],
    PORTRAIT / 255,
    PORTRAIT[:0],
    PORTRAIT[None][:0],
    np.stack([PORTRAIT] * 2),
    PORTRAIT[..., :1],
    "face.png",
    None,
  ],
)
def test_a_portrait_is_a_picture_of_the_models_size(model, portrait):
  assert "portrait" in refused(Stream, model, portrait)


@pytest.mark.parametrize(
  ("samples", "words"),
  [
    (SPEECH * 32_767, "reaches"),
    (SPEECH.astype(np.float64) * 1e300, "infinite"),
    (np.full(9, 1e5, np.float64), "reaches 100000"),
    (np.float32([0, np.nan]), "NaN"),
    (SPEECH[None], "mono"),
    (SPEECH.astype(np.int32), "mono"),
    (SPEECH.astype(complex), "mono"),
    (np.zeros(9, bool), "mono"),
    (None, "mono"),
    ("speech.wav", "mono"),
  ],
)
def test_samples_of_another_kind_are_named_and_change_nothing(
  model, samples, words
):
  stream = Stream(model, PORTRAIT)
  stream.push(SPEECH[:1000])
  assert words in refused(stream.push, samples)
  stream.push(SPEECH[1000:])
  stream.finish()
  again = np.stack(list(stream.pull()))
  assert np.array_equal(again, frames_of(Stream(model, PORTRAIT)))


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4", "tensor"])
def test_samples_of_any_floats_are_heard(model, kind):
  stream = Stream(model, PORTRAIT)
  samples = torch.tensor(SPEECH) if kind == "tensor" else SPEECH.astype(kind)
  stream.push(4 * samples)  # a little too loud is no error
  assert stream.ear.ready


@pytest.mark.parametrize(
  ("wishes", "words"),
  [
    ({"emotion": {0: "sad", "0": "happy"}}, "twice"),
    ({"emotion": {"1": "sad", "01": "happy"}}, "frame"),
    ({"emotion": {"1_0": "sad"}}, "frame"),
    ({"emotion": {" 1": "sad"}}, "frame"),
    ({"emotion": {"\u0661": "sad"}}, "frame"),
    ({"emotion": {1.5: "sad"}}, "frame"),
    ({"emotion": {"9" * 5000: "sad"}}, "frame"),
    ({"emotion": {"-1": "sad"}}, "frame"),
    ({"emotion": {6: "sad"}}, "beyond the end"),
    ({"emotion": "sad"}, "dictionary"),
    ([1], "dictionary"),
    ({3: {0: "sad"}}, "no control"),
  ],
)
def test_wishes_for_a_video_are_checked_before_its_first_frame(
  model, wishes, words
):
  assert words in refused(list, model.generate(PORTRAIT, SPEECH, wishes))


def spoilt(stream, number):
  """The stream's maker with a number in its signals: a broken setting."""

  def make(state, signals, *rest):
    if signals["controls"]["emotion"]["given"].any():
      signals["audio"] = torch.full_like(signals["audio"], number)
      state.caches[0].k.fill_(number)
    return stream.model.frame(state, signals, *rest)

  return make


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_frame_that_is_not_finite_is_an_error_of_its_stream_alone(
  model, number
):
  broken, whole = (Stream(model, PORTRAIT) for _ in range(2))
  broken._make = spoilt(broken, number)
  broken.set("emotion", "sad", 2)
  for stream in (broken, whole):
    stream.push(SPEECH)
    stream.finish()
  made = broken.pull()
  first = [next(made), next(made)]
  for _ in range(2):
    with pytest.raises(BrokenFrameError, match="frame 2 is no picture"):
      next(broken.pull())
  frames = list(whole.pull())
  assert len(frames) == 6
  assert np.array_equal(frames[:2], first)


def test_a_stream_recovers_when_its_setting_does(model):
  broken = Stream(model, PORTRAIT)
  broken._make = lambda state, *rest: model.frame(
    state._replace(previous_BNc=state.previous_BNc * torch.nan), *rest
  )
  broken.push(SPEECH)
  broken.finish()
  with pytest.raises(BrokenFrameError):
    list(broken.pull())
  broken._make = model.frame
  made = [*broken.pull()]
  expected = frames_of(Stream(model, PORTRAIT))
  assert len(made) == 5  # the first frame has none before it
  assert np.array_equal(made, expected[1:])


def test_latents_that_the_decoder_makes_black_are_no_frame(model):
  stream = Stream(model, PORTRAIT)
  stream.push(SPEECH)
  weights = model.tokenizer.decoder.out.bias
  kept = weights.detach().clone()
  with torch.no_grad():
    weights[0] = torch.inf
  try:
    with pytest.raises(BrokenFrameError):
      next(stream.pull())
  finally:
    with torch.no_grad():
      weights.copy_(kept)


def test_threads_may_share_a_stream(model):
  stream, made = Stream(model, PORTRAIT), []
  feeding = threading.Event()

  def pull():
    while not feeding.is_set() or stream.ear.ready:
      made.extend(stream.pull())

  threads = [threading.Thread(target=pull) for _ in range(3)]
  for thread in threads:
    thread.start()
  for start in range(0, len(SPEECH), 200):
    stream.push(SPEECH[start : start + 200])
    stream.set("pose", [0, 0, 0], 1000 + start)
  stream.finish()
  feeding.set()
  for thread in threads:
    thread.join()
  expected = frames_of(Stream(model, PORTRAIT))
  found = {frame.tobytes() for frame in made}
  assert found == {frame.tobytes() for frame in expected}
  assert len(made) == len(expected)


class Late:
  """A tokenizer whose frames are four shades of a latent, some steps late."""

  def __init__(self, cfg):
    self.cfg = cfg

  def encode(self, frames_BYX3):
    return torch.zeros(len(frames_BYX3), *self.cfg.latent_shape)

  def open(self, portrait_BhwC):
    return (portrait_BhwC * torch.nan,) * self.cfg.delay

  def step(self, state, latents_BhwC):
    first, *rest = (*state, latents_BhwC)
    grey_B4 = first.nan_to_num(0).mean((1, 2, 3)).sigmoid()[:, None]
    grey_B4 = grey_B4 - torch.arange(4) / 20
    frames = grey_B4[..., None, None, None].expand(-1, -1, 16, 16, 3)
    return tuple(rest), frames


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 14])
def test_who_is_late_shows_every_frame_once(model, frames):
  samples, made = np.resize(SPEECH, 640 * frames), []
  for delay in (0, 1, 3):
    tokenizer = ForeignTokenizerConfig(
      "kl", 16, model.cfg.latent_shape, 4, delay, (0.0, 0.0), (1.0, 1.0)
    )
    torch.manual_seed(0)
    talker = EARTalking(
      dataclasses.replace(model.cfg, stride=4, tokenizer=tokenizer)
    )
    for weights in talker.parameters():
      torch.nn.init.normal_(weights, std=0.3)
    parts = {"tokenizer": Late(tokenizer), "speech": Mel(talker.cfg)}
    talker.__dict__.update(parts)
    wishes = {"emotion": {0: "sad", frames - 1: "happy"}} if frames > 1 else {}
    made.append(np.stack(list(talker.generate(PORTRAIT, samples, wishes))))
    assert made[-1].shape == (frames, 16, 16, 3)
    np.testing.assert_array_equal(made[-1][0], PORTRAIT)
    np.testing.assert_array_equal(made[-1], made[0])
  if frames > 2:
    assert (
      np.abs(np.diff(made[0].astype(int), axis=0)).max((1, 2, 3)) > 0
    ).all()
