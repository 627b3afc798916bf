"""The controls file: what a user asks of any frame of a video.

  {"pose":    {"0": [0.3, 0, 0], "50": [-0.3, 0, 0], "75": null},
   "emotion": {"0": "happy"}}

A key is a frame number (25 a second, from 0). Its value holds until the next
key of the same control; null, and every frame before the first key, means "not
given": the model decides. A value is a list of numbers (or one number for a
control of size 1), or the name of a category. Numbers lie in [-1, 1], those of
blink in [0, 1].

A portrait file says what is known of the portrait itself, in the same values
without frames: {"pose": [0.1, 0, 0], "emotion": "neutral"}.

Dimension key:  T frames, K numbers of a control.
"""

import difflib
import json
import math
import numbers
import pathlib

import numpy as np

from eartalk_jax.errors import UserError

RANGES = {"blink": (0.0, 1.0)}
_USUAL_RANGE = (-1.0, 1.0)


def read_controls(path, controls, categories, frames):
  """Reads a controls file: ({name: value_TK}, {name: given_T}).

  Args:
    path: the file, in JSON.
    controls: the model's controls; each has `name`, `kind` ("continuous" or
      "categorical") and `size`.
    categories: {name of a categorical control: [names of its classes]}.
    frames: how many frames the video has (T).

  Raises:
    UserError: the file is not of the form above, or asks for something that
      the model or the video does not have.
  """
  return parse_controls(_load(path), controls, categories, frames, path)


def read_portrait(path, controls, categories):
  """Reads a portrait file: {name: (value_1K, given_1)}, one row.

  Raises:
    UserError: as `read_controls`.
  """
  known = _load(path)
  if not isinstance(known, dict):
    raise UserError(f"{path}: an object {{control: value}} is needed")
  wishes = {name: {"0": value} for name, value in known.items()}
  values, given = parse_controls(wishes, controls, categories, 1, path)
  return {name: (values[name], given[name]) for name in values}


def parse_controls(wishes, controls, categories, frames, source="controls"):
  """The same from {control: {frame: value}}; `source` is for messages."""
  if not isinstance(wishes, dict):
    raise UserError(f"{source}: an object {{control: {{frame: value}}}} needed")
  known = {control.name: control for control in controls}
  values, given = {}, {}
  for name, keys in wishes.items():
    control = find_control(name, known, source)
    if not isinstance(keys, dict):
      raise UserError(f"{source}: {name}: an object {{frame: value}} needed")
    value_TK = np.zeros((frames, columns(control)), np.float32)
    given_T = np.zeros(frames, bool)
    for frame, wish in _in_order(keys, frames, f"{source}: {name}"):
      given_T[frame:] = wish is not None
      if wish is not None:
        where = f"{source}: {name}, frame {frame}"
        value_TK[frame:] = parse_value(wish, control, categories, where)
    values[name], given[name] = value_TK, given_T
  return values, given


def _load(path):
  try:
    return json.loads(pathlib.Path(path).read_text())
  except OSError as error:
    raise UserError(
      f"{path}: cannot be read ({error.strerror}); check --controls"
    ) from error
  except ValueError as error:
    raise UserError(f"{path}: not a JSON file ({error})") from error


def columns(control):
  """How many numbers stand for a control; a category is its index."""
  return 1 if control.kind == "categorical" else control.size


def _in_order(keys, frames, where):
  """The (frame, value) pairs by frame; UserError for an impossible frame."""
  pairs = []
  for key, wish in keys.items():
    try:
      frame = int(key)
    except ValueError:
      raise UserError(f"{where}: {key!r} is not a frame number") from None
    if frame < 0:
      raise UserError(f"{where}: frame {frame}; the first frame is 0")
    if frame >= frames:
      raise UserError(
        f"{where}: frame {frame} is beyond the end; the audio gives {frames} "
        f"frames, the last is {frames - 1}"
      )
    pairs.append((frame, wish))
  return sorted(pairs, key=lambda pair: pair[0])


def find_control(name, known, where):
  """The control of that name; UserError if `known` {name: control} has none."""
  if name not in known:
    raise UserError(f"{where}: no control {name!r}; {_hint(name, known)}")
  return known[name]


def parse_value(wish, control, categories, where):
  """A wish for one frame as numbers [K], or as the index of a category.

  Args:
    wish: a list of numbers, one number, or the name of a category.
    control: what it is for.
    categories: {name of a categorical control: [names of its classes]}.
    where: for messages.

  Raises:
    UserError: the control cannot have that value.
  """
  if control.kind == "categorical":
    names = list(categories.get(control.name, []))
    if wish not in names:
      raise UserError(f"{where}: no category {wish!r}; {_hint(wish, names)}")
    return names.index(wish)
  several = isinstance(wish, list | tuple | np.ndarray)
  numbers_K = list(wish) if several else [wish]
  if len(numbers_K) != control.size:
    raise UserError(
      f"{where}: {len(numbers_K)} numbers, but {control.name} has "
      f"{control.size}"
    )
  low, high = range_of(control.name)
  for number in numbers_K:
    real = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not (real and math.isfinite(number) and low <= number <= high):
      raise UserError(
        f"{where}: {number!r} is not a number from {low:g} to {high:g}"
      )
  return numbers_K


def range_of(name):
  """(lowest, highest) number of a continuous control."""
  return RANGES.get(name, _USUAL_RANGE)


def _hint(name, known):
  close = difflib.get_close_matches(str(name), list(known), 1)
  guess = f"did you mean {close[0]!r}? " if close else ""
  return f"{guess}there are: {', '.join(known) or 'none'}"
