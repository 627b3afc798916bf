"""What a user asks of one stream: now, and from later frames on."""

import numpy as np

from eartalk_jax.controls import find_control, parse_value
from eartalk_jax.errors import UserError


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
    frame = self.frame if frame is None else frame
    if frame < self.frame:
      raise UserError(
        f"{name}: frame {frame} is past; the next frame is {self.frame}"
      )
    if wish is not None:
      wish = parse_value(wish, control, self._categories, f"{name}")
      wish = np.ravel(wish).astype(float).tolist()
    self._later.append([frame, name, wish])
    # Stable: of two wishes for a frame the later one holds.
    self._later.sort(key=lambda entry: entry[0])

  def advance(self):
    """{name: numbers} that are given at the next frame; moves on by one."""
    while self._later and self._later[0][0] <= self.frame:
      _, name, wish = self._later.pop(0)
      self._now.pop(name, None)
      if wish is not None:
        self._now[name] = wish
    self.frame += 1
    return self._now

  def save(self):
    """All wishes, as lists and dictionaries."""
    return {"now": self._now, "later": self._later, "frame": self.frame}

  def load(self, saved):
    """Goes on where `saved` was taken."""
    self._now = dict(saved["now"])
    self._later = [list(entry) for entry in saved["later"]]
    self.frame = saved["frame"]
