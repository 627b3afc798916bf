"""JSON that a user, or another program, wrote: read strictly.

Python's reader takes NaN, integers of any length and a key that is said
twice, of which one value is lost; and it ends in five kinds of exception.
"""

import json
import math
import pathlib

from eartalk_jax.errors import UserError


def read_json(path, remedy="write it again"):
  """The value in a JSON file, as `parse_json` reads it.

  Args:
    path: the file, in UTF-8.
    remedy: what to do if it cannot be read, for the message.

  Raises:
    UserError: there is no such file, it cannot be read, or is no such JSON.
  """
  try:
    content = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise UserError(
      f"{path}: cannot be read ({error.strerror}); {remedy}"
    ) from None
  except ValueError as error:  # a name with a NUL
    raise UserError(f"{path!r}: is no file name ({error})") from None
  return parse_json(content, path, remedy)


def read_shaped(path, shape, remedy="write it again"):
  """As `read_json`, of a value that must fit a shape.

  Raises:
    UserError: as `read_json`, or it does not fit.
  """
  value = read_json(path, remedy)
  if not fits(value, shape):
    raise UserError(f"{path} is damaged; {remedy}")
  return value


def fits(value, shape):
  """Whether a JSON value has a shape.

  Args:
    value: what was read.
    shape: a type (float takes whole numbers too); [shape] of every item;
      {key: shape} of what must be there, other keys are free; {str: shape} of
      every value.
  """
  if isinstance(shape, list):
    return isinstance(value, list) and all(fits(v, shape[0]) for v in value)
  if isinstance(shape, dict):
    if not isinstance(value, dict):
      return False
    if str in shape:
      return all(fits(each, shape[str]) for each in value.values())
    return all(key in value and fits(value[key], shape[key]) for key in shape)
  return type(value) is shape or (shape is float and type(value) is int)


def read_lines(path, whole, finite=True):
  """Yields the values of a file with JSON in each line.

  Args:
    path: the file. A last line without an end, torn by a kill, is left out.
    whole: value -> whether it is what such a line holds.
    finite: as in `parse_json`.

  Raises:
    UserError: a line is damaged.
  """
  with open(path, "rb") as file:
    for number, text in enumerate(file, 1):
      if not text.endswith(b"\n"):
        return
      where = f"{path}: line {number}"
      try:
        value = parse_json(text, where, finite=finite)
      except UserError:
        value = None
      if not whole(value):
        raise UserError(f"{where} is damaged; delete that line")
      yield value


def without_nan(value):
  """The same value with None for each number that JSON has not."""
  if isinstance(value, dict):
    return {name: without_nan(below) for name, below in value.items()}
  if isinstance(value, (list, tuple)):
    return [without_nan(below) for below in value]
  lost = isinstance(value, float) and not math.isfinite(value)
  return None if lost else value


def parse_json(text, where, remedy="write it again", finite=True):
  """The value of a JSON text.

  Args:
    text: a string, or bytes in UTF-8.
    where: what it is, for messages.
    remedy: what to do if it is damaged, for the message.
    finite: whether NaN, infinities and numbers beyond floats are refused.

  Raises:
    UserError: it is not JSON, too deep, says a key of an object twice, or
      holds a number that is none.
  """
  checks = {}
  if finite:
    checks = {
      "parse_constant": _refuse_constant,
      "parse_int": _finite(int),
      "parse_float": _finite(float),
    }
  try:
    if isinstance(text, bytes):
      text = text.decode("utf-8-sig")
    return json.loads(text, object_pairs_hook=_unique, **checks)
  except RecursionError:
    problem = "it is nested too deeply"
  except ValueError as error:
    problem = str(error)
  raise UserError(f"{where}: not a JSON file ({problem}); {remedy}")


def _unique(pairs):
  """A dict of the pairs; each key once."""
  content = dict(pairs)
  if len(content) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f"{twice!r} is said twice")
  return content


def _refuse_constant(name):
  raise ValueError(f"{name} is no number")


def _finite(kind):
  def parse(text):
    shown = text if len(text) <= 20 else f"{text[:20]}..."
    try:
      number = kind(text)
      if math.isfinite(float(number)):
        return number
    except (ValueError, OverflowError):
      pass
    raise ValueError(f"{shown} is beyond all numbers")

  return parse
