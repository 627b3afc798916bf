"""What Python's JSON reader lets pass, or ends in a traceback."""

import pytest

from eartalk_jax.documents import parse_json, read_json
from eartalk_jax.errors import UserError


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ('{"a": 1, "a": 2}', "'a' is said twice"),
    ('{"a": {"b": 1, "b": 1}}', "'b' is said twice"),
    ("[NaN]", "NaN"),
    ("[-Infinity]", "-Infinity"),
    ("[1e999]", "1e999"),
    ("1" + "0" * 400, "10000000000000000000..."),
    ("1" + "0" * 5000, "10000000000000000000..."),
    ("[" * 100_000, "too deeply"),
    ('{"a":' * 100_000, "too deeply"),
    ("{", "Expecting"),
    (b"\xff", "utf-8"),
    ("", "Expecting"),
  ],
  ids=lambda value: str(value)[:12],
)
def test_what_is_no_json_is_said_in_a_line(text, said):
  with pytest.raises(UserError) as caught:
    parse_json(text, "note.json")
  message = str(caught.value)
  assert message.startswith("note.json: ")
  assert said in message
  assert "\n" not in message
  assert len(message) < 200


def test_what_is_json_is_read():
  text = '{"a": [1, -2.5, 1e300, true, null], "b": {"a": "é"}}'
  value = {"a": [1, -2.5, 1e300, True, None], "b": {"a": "é"}}
  assert parse_json(text, "x") == value
  assert parse_json(b"\xef\xbb\xbf" + text.encode(), "x") == value


def test_our_own_figures_may_be_nan():
  assert str(parse_json("[NaN, Infinity]", "x", finite=False)) == "[nan, inf]"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
  for path in (tmp_path / "none.json", tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
      read_json(path)
