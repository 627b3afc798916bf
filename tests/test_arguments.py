"""Numbers on the command line."""

import pytest

from eartalk_jax.errors import UserError
from launch.arguments import Parser, integer, number


def _parse(*words):
  parser = Parser("nothing", "Does nothing.")
  parser.add_argument("--steps", type=integer(1, 100))
  parser.add_argument("--scale", type=number(0))
  return parser.parse_args(words)


@pytest.mark.parametrize(
  ("option", "value"),
  [("--steps", value) for value in ("0", "101", "1.5", "x", "", "9" * 5000)]
  + [("--scale", v) for v in ("nan", "inf", "-inf", "1e999", "-1", "x", "")],
)
def test_an_impossible_number_is_a_line(option, value):
  with pytest.raises(UserError, match=option) as caught:
    _parse(f"{option}={value}")
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 200


def test_numbers_at_their_ends_are_taken():
  assert _parse("--steps=100", "--scale=0").steps == 100
  assert _parse("--steps=1", "--scale=1e30").scale == 1e30


@pytest.mark.parametrize("words", [["--unknown"], ["--step", "1"], ["more"]])
def test_an_unknown_word_is_a_line(words):
  with pytest.raises(UserError, match="--help"):
    _parse(*words)
