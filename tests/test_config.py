"""Configs are strict: nothing is ignored, every mistake is named."""

import dataclasses
import importlib
import math
from typing import Literal

import ml_collections
import pytest

from eartalk_jax.config import differences, flatten, from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.training.train_config import TrainConfig
from launch.train_tokenizer import TokenizerTraining


@dataclasses.dataclass(frozen=True)
class Leaf:
  rate: float
  kind: Literal["a", "b"] = "a"

  def __post_init__(self):
    if self.rate < 0:
      raise ValueError(f"rate {self.rate} is negative")


@dataclasses.dataclass(frozen=True)
class Tree:
  width: int
  name: str
  leaf: Leaf
  leaves: tuple[Leaf, ...] = ()
  shape: tuple[int, int] = (1, 2)
  limit: int | None = None
  on: bool = False


GOOD = {"width": 3, "name": "x", "leaf": {"rate": 1}}


@pytest.mark.parametrize("wrap", [dict, ml_collections.ConfigDict])
def test_nested_dataclasses_and_tuples_of_them_are_built(wrap):
  leaves = [{"rate": 0.5, "kind": "b"}]
  tree = from_config(Tree, wrap(GOOD | {"leaves": leaves, "shape": [3, 4]}))
  assert tree == Tree(3, "x", Leaf(1.0), (Leaf(0.5, "b"),), (3, 4))
  assert isinstance(tree.leaf.rate, float)
  assert from_config(Tree, to_dict(tree)) == tree


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"widht": 3}, "unknown key widht; did you mean width?"),
    ({"leaf": {"rate": 1, "knd": "a"}}, "leaf.knd; did you mean kind?"),
    ({"leaf": {}}, "leaf.rate is missing"),
    ({"leaves": [{"rate": 1}, {}]}, "leaves.1.rate is missing"),
    ({"leaf": {"rate": -1}}, "leaf: rate -1.0 is negative"),
    ({"leaf": {"rate": 1, "kind": "c"}}, "leaf.kind is 'c'"),
    ({"leaf": 3}, "leaf must be a dictionary"),
    ({"width": 3.5}, "width must be int, not 3.5"),
    ({"width": True}, "width must be int, not True"),
    ({"on": 1}, "on must be bool, not 1"),
    ({"name": None}, "name must be str, not None"),
    ({"limit": "3"}, "limit must be int, not '3'"),
    ({"shape": [1]}, "shape must have 2 entries"),
    ({"shape": 4}, "shape must be a list, not 4"),
  ],
)
def test_a_mistake_is_named_with_its_path(changes, message):
  with pytest.raises(UserError) as caught:
    from_config(Tree, GOOD | changes)
  assert message in str(caught.value)


def test_differences_name_the_dotted_key_and_both_values():
  saved = {"a": {"b": 1, "c": [1, 2]}, "d": 0, "free": {"x": 1}}
  now = {"a": {"b": 1, "c": [1, 3]}, "free": {"x": 2}, "e": 1}
  assert differences(saved, now, free=("free",)) == [
    ("a.c.1", 2, 3),
    ("d", 0, "absent"),
    ("e", "absent", 1),
  ]


SHIPPED = (
  "base demo demo_masked paper paper_fast ear_70m ear_300m ear_1b ear_7b"
)
TOKENIZERS = "tokenizer tokenizer_demo tokenizer_video tokenizer_video_small"


@pytest.mark.parametrize(
  ("name", "cls"),
  [(name, TrainConfig) for name in SHIPPED.split()]
  + [(name, TokenizerTraining) for name in TOKENIZERS.split()],
)
def test_the_shipped_configs_are_valid_and_have_every_leaf(name, cls):
  """Only what is in the file can be set by --config.KEY=VALUE."""
  config = importlib.import_module(f"configs.{name}").get_config()
  whole = flatten(to_dict(from_config(cls, config)))
  assert set(whole) == set(flatten(to_dict(config)))


ODD = [0, -1, 2**31, 2**63, 10**5000, 1e308, math.nan, math.inf, -math.inf]
ODD += [True, None, "x", "a\0b", b"x", 1j, object(), [], [0] * 20_000, {}]
ODD += [{"kind": 3}, {"kind": []}, {"kind": "x" * 5000}]


@pytest.mark.parametrize(
  ("name", "whole"),
  [("demo_masked", TrainConfig), ("tokenizer_demo", TokenizerTraining)],
)
def test_whatever_stands_in_a_config_is_taken_or_refused_in_a_line(name, whole):
  good = importlib.import_module(f"configs.{name}").get_config()
  good = to_dict(from_config(whole, good))

  def replaced(node, keys, value):
    if not keys:
      return value
    copy = list(node) if isinstance(node, list) else dict(node)
    copy[keys[0]] = replaced(node[keys[0]], keys[1:], value)
    return copy

  def nodes(node, keys=()):
    yield keys
    if isinstance(node, dict):
      items = list(node.items())
    else:
      items = list(enumerate(node)) if isinstance(node, list) else []
    for key, below in items:
      yield from nodes(below, (*keys, key))

  for keys in nodes(good):
    for value in ODD:
      try:
        from_config(whole, replaced(good, keys, value))
      except UserError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 300
        continue
      # What is taken is a number that the field may have, or a text.
      assert value in (0, -1, 2**31, True, None, "x", [], {}), (keys, value)
      if value == 2**31:
        assert keys[-1] in ("seed", "clip_norm")


@pytest.mark.parametrize(
  ("value", "message"),
  [
    (math.nan, "rate is nan"),
    (10**400, "rate is 1000.*finite"),
    (10**5000, "rate is a very long number"),
  ],
  ids=["nan", "long", "longer"],
)
def test_a_number_that_is_none_is_shown_in_short(value, message):
  with pytest.raises(UserError, match=message) as caught:
    from_config(Leaf, {"rate": value})
  assert len(str(caught.value)) < 160
