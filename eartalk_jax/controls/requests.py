"""The controls file: what a user asks of any frame of a video.

  {"pose":    {"0": [0.3, 0, 0], "50": [-0.3, 0, 0], "75": null},
   "emotion": {"0": "happy"}}

A key is a frame number (25 a second, from 0), in plain digits. Its value holds
until the next key of the same control; null, and every frame before the first
key, means "not given": the model decides. A value is a list of numbers (or one
number for a control of size 1), or the name of a category. Numbers lie in
[-1, 1], those of blink in [0, 1]; what 1 is stands in `known`. Poses are no
degrees.

A portrait file says what is known of the portrait itself, in the same values
without frames: {"pose": [0.1, 0, 0], "emotion": "neutral"}.

Dimension key:  T frames (t of a span), K numbers of a control, N keys.
"""

import difflib
import numbers
import re

import numpy as np

from eartalk_jax.bounds import shown
from eartalk_jax.controls.known import track_of
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError

# One way to write each frame: "01" or "1_0" would be a second wish for it.
_FRAME = re.compile("0|[1-9][0-9]{0,8}")


class Schedule:
  """What is asked of the frames of a video, read a span at a time.

  It takes memory for what is asked, however long the video is.

  Args:
    wishes: {control: [(frame, numbers_K or None)]}, by frame.
    sizes: {control: K}.
  """

  def __init__(self, wishes, sizes):
    self._steps = {}
    for name, keys in wishes.items():
      # Before the first key nothing is given.
      keys = [(-1, None), *keys]
      begins_N = np.array([frame for frame, _ in keys])
      given_N = np.array([wish is not None for _, wish in keys])
      value_NK = np.zeros((len(keys), sizes[name]), np.float32)
      value_NK[given_N] = [wish for _, wish in keys if wish is not None] or 0
      self._steps[name] = begins_N, value_NK, given_N

  def span(self, start, stop):
    """({name: value_tK}, {name: given_t}) of the frames start <= t < stop."""
    values, given = {}, {}
    frame_t = np.arange(start, stop)
    for name, (begins_N, value_NK, given_N) in self._steps.items():
      step_t = np.searchsorted(begins_N, frame_t, side="right") - 1
      values[name], given[name] = value_NK[step_t], given_N[step_t]
    return values, given


def read_controls(path, controls, categories, frames):
  """Reads a controls file: a Schedule.

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
  schedule = parse_controls(wishes, controls, categories, 1, path)
  values, given = schedule.span(0, 1)
  return {name: (values[name], given[name]) for name in values}


def parse_controls(wishes, controls, categories, frames, source="controls"):
  """The same from {control: {frame: value}}; `source` is for messages."""
  if not isinstance(wishes, dict):
    raise UserError(f"{source}: an object {{control: {{frame: value}}}} needed")
  known = {control.name: control for control in controls}
  asked = {}
  for name, keys in wishes.items():
    control = find_control(name, known, source)
    if not isinstance(keys, dict):
      raise UserError(f"{source}: {name}: an object {{frame: value}} needed")
    asked[name] = []
    for frame, wish in _in_order(keys, frames, f"{source}: {name}"):
      if wish is not None:
        where = f"{source}: {name}, frame {frame}"
        wish = parse_value(wish, control, categories, where)
      asked[name].append((frame, wish))
  sizes = {name: columns(known[name]) for name in asked}
  return Schedule(asked, sizes)


def _load(path):
  return read_json(path, "check the file")


def columns(control):
  """How many numbers stand for a control; a category is its index."""
  return 1 if control.kind == "categorical" else control.size


def _in_order(keys, frames, where):
  """The (frame, value) pairs by frame; UserError for an impossible frame."""
  pairs = []
  for key, wish in keys.items():
    if not (isinstance(key, str) and _FRAME.fullmatch(key)):
      raise UserError(
        f"{where}: {shown(key)} is not a frame number; the first frame is 0, "
        "then come 1, 2, ..."
      )
    frame = int(key)
    if frame >= frames:
      raise UserError(
        f"{where}: frame {frame} is beyond the end; the audio gives {frames} "
        f"frames, the last is {frames - 1}"
      )
    pairs.append((frame, wish))
  return sorted(pairs, key=lambda pair: pair[0])


def find_control(name, known, where):
  """The control of that name; UserError if `known` {name: control} has none."""
  if not isinstance(name, str) or name not in known:
    raise UserError(f"{where}: no control {shown(name)}; {_hint(name, known)}")
  return known[name]


def parse_value(wish, control, categories, where):
  """A wish for one frame as numbers [K]; a category is its index.

  Args:
    wish: numbers in a list or an array, one number, or the name of a category.
    control: what it is for.
    categories: {name of a categorical control: [names of its classes]}.
    where: for messages.

  Raises:
    UserError: the control cannot have that value.
  """
  if hasattr(wish, "tolist"):
    wish = wish.tolist()
  if control.kind == "categorical":
    names = list(categories.get(control.name, []))
    if not isinstance(wish, str) or wish not in names:
      raise UserError(
        f"{where}: no category {shown(wish)}; {_hint(wish, names)}"
      )
    return [float(names.index(wish))]
  numbers_K = list(wish) if isinstance(wish, list | tuple) else [wish]
  if len(numbers_K) != control.size:
    raise UserError(
      f"{where}: {len(numbers_K)} numbers, but {control.name} has "
      f"{control.size}"
    )
  low, high = track_of(control.name).range
  for number in numbers_K:
    real = isinstance(number, numbers.Real) and not isinstance(number, bool)
    # NaN is in no range; integers of any length can be compared.
    if not (real and low <= number <= high):
      hint = track_of(control.name).hint if real else ""
      raise UserError(
        f"{where}: {shown(number)} is not a number from {low:g} to {high:g}"
        + (f" ({hint})" if hint else "")
      )
  return [float(number) for number in numbers_K]


def _hint(name, known):
  name = name if isinstance(name, str) else ""
  close = difflib.get_close_matches(name[:40], list(known), 1)
  guess = f"did you mean {close[0]!r}? " if close else ""
  return f"{guess}there are: {', '.join(known) or 'none'}"
