"""From a run to video: chunks, contexts, controls, and what is refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax import generate
from eartalk_jax.config import to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.models.signals import by_span
from eartalk_jax.recipes import ear
from eartalk_jax.recipes.ear import stream as streaming
from eartalk_jax.speech import open_speech
from eartalk_jax.tokenizers.autoencoder import Autoencoder, TokenizerConfig
from eartalk_jax.tokenizers.patches import PatchTokenizer

T = 11


@pytest.fixture(scope="module")
def generator():
  model, params = talkers.talker()
  config = TokenizerConfig(
    size=32,
    patch=8,
    channels=2,
    width=16,
    heads=2,
    encoder_depth=1,
    decoder_depth=1,
  )
  pictures = jnp.zeros((1, 32, 32, 3))
  decoder = Autoencoder(config).init(jax.random.key(0), pictures)["params"]
  tokenizer = PatchTokenizer(
    config, decoder, np.zeros(2, np.float32), np.float32(1)
  )
  moods = {"emotion": ["calm", "glad", "sad", "cross"]}
  return generate.Generator(
    ear,
    model,
    streaming.prepare(params),
    tokenizer,
    open_speech("mel:5"),
    0,
    moods,
  )


@pytest.fixture(scope="module")
def inputs():
  rng = np.random.default_rng(0)
  return {
    "portraits_BYX3": rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8),
    "features_BTAF": rng.normal(size=(2, T, 4, 5)).astype(np.float32),
    "controls": {"pose": rng.uniform(-1, 1, (2, T, 3)).astype(np.float32)},
  }


def test_what_is_known_of_a_portrait_changes_that_stream_alone(
  generator, inputs
):
  pose = np.full((2, 3), 0.9, np.float32)
  known = {"pose": (pose, np.array([True, False]))}
  one = _video(generator, inputs)
  other = _video(generator, inputs, portrait_controls=known)
  assert (one[0] != other[0]).any()
  np.testing.assert_array_equal(one[1], other[1])


def _video(generator, inputs, **changes):
  return np.concatenate(
    list(generator.generate(**{**inputs, **changes})), axis=1
  )


@pytest.mark.parametrize("chunk", [1, 4, 25])
def test_chunks_of_any_length_give_the_same_bits(generator, inputs, chunk):
  want = _video(generator, inputs, chunk=3)
  got = _video(generator, inputs, chunk=chunk)
  assert got.shape == (2, T, 32, 32, 3)
  np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("pieces", [[11], [1] * 11, [3, 0, 7, 1]])
@pytest.mark.parametrize("chunk", [1, 4, 30])
def test_pieces_of_features_make_the_video_of_the_whole(
  generator, inputs, pieces, chunk
):
  cuts = np.split(inputs["features_BTAF"], np.cumsum(pieces)[:-1], axis=1)
  np.testing.assert_array_equal(
    _video(generator, inputs, features_BTAF=iter(cuts), chunk=chunk),
    _video(generator, inputs),
  )


def test_a_control_acts_from_its_frame_on(generator, inputs):
  pose = inputs["controls"]["pose"].copy()
  pose[:, 6:] += 0.9
  before = _video(generator, inputs)
  after = _video(generator, inputs, controls={"pose": pose})
  np.testing.assert_array_equal(before[:, :6], after[:, :6])
  assert np.any(before[:, 6:] != after[:, 6:])


def test_a_control_not_given_is_a_control_left_out(generator, inputs):
  never = {"pose": np.zeros((2, T), bool)}
  np.testing.assert_array_equal(
    _video(generator, inputs, given=never),
    _video(generator, inputs, controls={}),
  )


def test_wrong_controls_are_named(generator, inputs):
  pose = inputs["controls"]["pose"]
  with pytest.raises(UserError, match="did you mean pose"):
    _video(generator, inputs, controls={"poes": pose})
  with pytest.raises(UserError, match="pose.*11 frames"):
    _video(generator, inputs, controls={"pose": pose[:, :5]})


def test_no_new_compilation_after_the_first_chunk(generator, inputs):
  _video(generator, inputs, chunk=4)
  before = generator._chunk._cache_size()
  _video(generator, inputs, chunk=4, controls={}, seeds=[5, 6])
  _video(
    generator, inputs, chunk=4, features_BTAF=inputs["features_BTAF"][:, :3]
  )
  assert generator._chunk._cache_size() == before


def test_a_folder_that_is_no_run_is_refused(tmp_path):
  with pytest.raises(UserError, match="config.json"):
    generate.load_generator(tmp_path)
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(UserError, match="damaged"):
    generate.load_generator(tmp_path)
  config = {"model": to_dict(talkers.TINY), "categories": {}}
  (tmp_path / "config.json").write_text(json.dumps(config))
  with pytest.raises(UserError, match="tokenizer"):
    generate.load_generator(tmp_path)


def test_sampling_may_differ_from_training(generator):
  quick = generator.sampling(steps=1, temperature=0.5, sets=None)
  assert (quick.config.head.steps, quick.config.head.temperature) == (1, 0.5)
  assert generator.sampling().config == generator.config
  for settings, message in [
    ({"sets": 2}, "'flow' head has no sets"),
    *[
      ({"steps": steps}, "steps = .*whole number from 1 to 1000")
      for steps in (0, 10**9, 1.5, True, "3")
    ],
    *[
      ({"temperature": warm}, "temperature = .*finite number from 0 to 2")
      for warm in (-0.1, 2.1, float("nan"), float("inf"), 1e30, "1", 10**400)
    ],
    ({"width": 8}, "has no width"),
  ]:
    with pytest.raises(UserError, match=message):
      generator.sampling(**settings)


def test_several_portraits_of_a_person(generator, inputs):
  model, params = talkers.talker(sinks=2)
  several = dataclasses.replace(
    generator, model=model, weights=streaming.prepare(params)
  )
  once_BYX3 = inputs["portraits_BYX3"]
  pair_BSYX3 = np.stack([once_BYX3, once_BYX3[::-1]], axis=1)
  alone = _video(several, inputs)
  # A person with one picture has it twice.
  twice = np.stack([once_BYX3, once_BYX3], axis=1)
  np.testing.assert_array_equal(
    _video(several, inputs, portraits_BYX3=twice), alone
  )
  paired = _video(several, inputs, portraits_BYX3=pair_BSYX3)
  assert (paired != alone).any()
  with pytest.raises(UserError, match="trained with 1; give 1 at most"):
    _video(generator, inputs, portraits_BYX3=pair_BSYX3)
  with pytest.raises(UserError, match=r"uint8\[32, 32, 3\] is needed"):
    _video(generator, inputs, portraits_BYX3=once_BYX3[:, :-1])


def test_controls_may_be_a_function_of_the_span(generator, inputs):
  given = {"pose": np.arange(T)[None].repeat(2, 0) % 3 > 0}
  whole = by_span(inputs["controls"], given)
  asked = []

  def controls(start, stop):
    asked.append((start, stop))
    return whole(start, stop)

  np.testing.assert_array_equal(
    _video(generator, inputs, controls=controls, chunk=4),
    _video(generator, inputs, given=given, chunk=4),
  )
  # No more than a chunk at a time, whatever the video's length is.
  assert asked == [(0, 4), (4, 8), (8, T)]


NAN_POSE = np.full((2, T, 3), np.nan, np.float32)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"controls": {"pose": NAN_POSE}}, "pose.*NaN"),
    ({"controls": {"pose": np.full((2, T, 3), 18.0)}}, "holds 18; .*degrees"),
    ({"controls": {"pose": np.zeros((2, T, 2))}}, "of 3 numbers"),
    ({"controls": {"pose": np.zeros(3)}}, "of 3 numbers"),
    ({"controls": {"pose": "turn"}}, "no array of numbers"),
    ({"controls": {"emotion": np.full((2, T, 1), 4.0)}}, "no index of its 4"),
    ({"controls": {"emotion": np.full((2, T, 1), 0.5)}}, "no index of its 4"),
    ({"given": {"pose": np.ones((2, T))}}, r"float64\[2, 11\].*bool"),
    ({"given": {"pose": np.ones((2, 1), bool)}}, r"bool\[2, 1\]"),
    ({"given": {"nose": np.ones((2, T), bool)}}, "unknown control 'nose'"),
    (
      {"portrait_controls": {"pose": (NAN_POSE[:, 0], [True] * 2)}},
      "pose.*NaN",
    ),
    ({"portrait_controls": {"pose": (np.zeros((1, 3)), [True] * 2)}}, "2 str"),
    (
      {"features_BTAF": np.full((2, T, 4, 5), np.inf)},
      "features hold NaN or inf",
    ),
    (
      {"features_BTAF": np.zeros((1, T, 4, 5))},
      r"\(1, 11, 4, 5\); \[2, frames, 4",
    ),
    (
      {"features_BTAF": np.zeros((2, T, 5, 4))},
      r"\(2, 11, 5, 4\); \[2, frames, 4",
    ),
    ({"features_BTAF": iter(["a"])}, "no array of numbers"),
    *[
      ({"seeds": [0, seed]}, "seed = .*from 0 to 4294967295")
      for seed in (-1, 2**32, 1.0, "1", None, float("nan"), True)
    ],
    ({"seeds": [1]}, "1 seeds for 2 streams"),
    ({"guidance": {"audio": [1.0]}}, "one for each of 2 streams"),
    ({"guidance": {"audio": [1.0, 1e9]}}, "from -100 to 100"),
    ({"chunk": 0}, "chunk = 0"),
    ({"portraits_BYX3": np.zeros((0, 32, 32, 3), np.uint8)}, "no portrait"),
    ({"portraits_BYX3": [np.zeros((32, 32, 3)), [1]]}, "several sizes"),
    ({"portraits_BYX3": None}, r"uint8\[32, 32, 3\] is needed"),
  ],
)
def test_what_cannot_be_is_a_line(generator, inputs, changes, message):
  with pytest.raises(UserError, match=message) as caught:
    _video(generator, inputs, **changes)
  assert len(str(caught.value).splitlines()) == 1


def test_numbers_that_are_not_given_do_not_matter(generator, inputs):
  pose = inputs["controls"]["pose"].copy()
  given = {"pose": np.arange(T)[None].repeat(2, 0) >= 5}
  want = _video(generator, inputs, given=given)
  pose[:, :5] = np.nan
  got = _video(generator, inputs, controls={"pose": pose}, given=given)
  np.testing.assert_array_equal(got, want)


def test_a_frame_that_is_not_finite_is_an_error(generator, inputs):
  pose = 0 * inputs["controls"]["pose"]
  pose[1, 6] = 1.0
  broken = talkers.breaking(generator)
  chunks = broken.generate(
    inputs["portraits_BYX3"], inputs["features_BTAF"], {"pose": pose}, chunk=4
  )
  assert next(chunks).shape == (2, 4, 32, 32, 3)
  with pytest.raises(UserError, match="frame 6 of video 1 is no picture"):
    next(chunks)
  assert _video(broken, inputs, controls={"pose": 0 * pose}).shape[1] == T
