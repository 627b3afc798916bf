"""Random damage to the bytes of a file, as disks, networks and people do it."""

import re

# What readers of numbers in text stumble over.
_TOKENS = (
  b"NaN", b"Infinity", b"1e999", b"-1", b"0", b"1" + b"0" * 400, b"null", b"{}",
  b"[]", b'"x"', b"true", b"[" * 3000, b"\xff\xfe", b"\0", b"", b"1e30", b"0.5",
)  # fmt: skip
_VALUE = re.compile(rb'-?\d[\d.e+-]*|"[^"]*"|true|false|null')


def damaged(content, rng):
  """The bytes with one to three damages.

  Args:
    content: bytes.
    rng: numpy generator; the same one gives the same damage.
  """
  content = bytearray(content)
  ways = [_flip, _cut, _blank, _insert, _repeat, _extreme]
  if content and not rng.integers(4):
    content = bytearray(rng.choice(ways[:2])(content, rng))
  elif _is_text(content):
    ways += [_replace_value] * 12
  for _ in range(rng.integers(1, 4)):
    content = bytearray(ways[rng.integers(len(ways))](content, rng))
  return bytes(content)


def _is_text(content):
  return bool(content) and not any(byte < 9 for byte in content[:400])


def _span(content, rng):
  """A random (start, end), mostly short."""
  start = rng.integers(len(content) + 1)
  length = int(2 ** rng.uniform(0, 12))
  return start, min(start + length, len(content))


def _flip(content, rng):
  for _ in range(int(2 ** rng.uniform(0, 8)) if content else 0):
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
  return content


def _cut(content, rng):
  return content[: rng.integers(len(content) + 1)]


def _blank(content, rng):
  start, end = _span(content, rng)
  content[start:end] = bytes(end - start)
  return content


def _insert(content, rng):
  start, end = _span(content, rng)
  return content[:start] + rng.bytes(end - start) + content[start:]


def _repeat(content, rng):
  start, end = _span(content, rng)
  return content[:end] + content[start:]


def _extreme(content, rng):
  """A number of a header at one of its ends, often near the beginning."""
  start = rng.integers(min(len(content), 2048) + 1)
  values = b"\xff" * 4, b"\x7f" + b"\xff" * 3, bytes(4), b"\x80" + bytes(3)
  content[start : start + 4] = values[rng.integers(4)]
  return content


def _replace_value(content, rng):
  """One number, string or word of a text becomes another."""
  values = list(_VALUE.finditer(content))
  if not values:
    return content
  value = values[rng.integers(len(values))]
  token = _TOKENS[rng.integers(len(_TOKENS))]
  return content[: value.start()] + token + content[value.end() :]
