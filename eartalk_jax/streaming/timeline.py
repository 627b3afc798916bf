"""What a user asks of one stream: now, and from later frames on."""

import bisect

from eartalk_jax.bounds import integer
from eartalk_jax.controls.requests import find_control, parse_value
from eartalk_jax.errors import UserError

_LAST = 2**31 - 1


class Timeline:
  """The wishes for each control of a stream.

  Args:
    controls: the model's controls.
    categories: {name of a categorical control: [names of its classes]}.
  """

  def __init__(self, controls, categories):
    self._controls = {control.name: control for control in controls}
    self._categories = categories
    self._now = {}  # name -> list of numbers; what is not given is not there
    self._later = []  # [frame, name, list of numbers or None], by frame
    self.frame = 0  # the next one

  def set(self, name, wish, frame=None):
    """`wish` holds from `frame` (the next one) on; None leaves it to the model.

    Raises:
      UserError: no such control, an impossible value, a frame of the past.
    """
    control = find_control(name, self._controls, "controls")
    if frame is None:
      frame = self.frame
    frame = integer(frame, f"{name}: frame", None, _LAST)
    if frame < self.frame:
      raise UserError(
        f"{name}: frame {frame} is past; the next frame is {self.frame}"
      )
    if wish is not None:
      wish = parse_value(wish, control, self._categories, name)
    # Of two wishes for a frame the later one holds.
    bisect.insort(self._later, [frame, name, wish], key=_frame_of)

  def at(self, frame):
    """{name: numbers} that are given at a frame, the next one or later."""
    now = dict(self._now)
    for begins, name, wish in self._later:
      if begins > frame:
        break
      now[name] = wish
    return {name: wish for name, wish in now.items() if wish is not None}

  def advance_to(self, frame):
    """All frames before that one are made: it is next."""
    self._now = self.at(frame - 1)
    past = bisect.bisect_right(self._later, frame - 1, key=_frame_of)
    del self._later[:past]
    self.frame = frame

  def save(self):
    """All wishes, as lists and dictionaries."""
    return {"now": self._now, "later": self._later, "frame": self.frame}

  def load(self, saved):
    """Goes on where `saved` was taken; UserError if it does not fit."""
    self.frame = integer(saved["frame"], "frame", 0, _LAST)
    self._now = {
      name: self._loaded(name, wish) for name, wish in saved["now"].items()
    }
    self._later = [
      [
        integer(frame, "frame", self.frame, _LAST),
        name,
        None if wish is None else self._loaded(name, wish),
      ]
      for frame, name, wish in saved["later"]
    ]
    self._later.sort(key=_frame_of)

  def _loaded(self, name, wish):
    """A saved wish; a category is its index there."""
    control = find_control(name, self._controls, "controls")
    if control.kind == "categorical":
      (index,) = wish
      wish = self._categories[name][integer(int(index), name, 0, None)]
    return parse_value(wish, control, self._categories, name)


def over_frames(asked):
  """Several frames' {control: numbers [K]} as {control: numbers [s*K]}.

  A control that is given in some of the frames keeps its nearest value in the
  others.
  """
  joined = {}
  for name in dict.fromkeys(name for each in asked for name in each):
    given = [index for index, each in enumerate(asked) if name in each]
    joined[name] = [
      number
      for index in range(len(asked))
      for number in asked[min(given, key=lambda at: abs(at - index))][name]
    ]
  return joined


def _frame_of(entry):
  return entry[0]
