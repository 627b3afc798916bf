"""One live stream, as its user sees it.

Dimension key: S samples, t frames, Y X picture.
"""

import collections

import numpy as np

from eartalk_jax.audio import AudioFeatures
from eartalk_jax.errors import UserError
from eartalk_jax.streaming.ear import Ear
from eartalk_jax.streaming.timeline import Timeline


class Stream:
  """Speech and wishes in, frames out. `Streams.open` makes one.

  Attributes:
    row: its slot.
    ear, timeline: what it heard and what is asked of it.
    scales: {signal: its guidance}.
    idle: Idle, what it does where nothing is asked; or None.
    made: frames that nobody pulled yet.
  """

  def __init__(self, streams, row):
    config = streams.generator.config
    self._streams = streams
    self.row = row
    self.ear = Ear(config.audio)
    self.timeline = Timeline(config.controls, streams.generator.categories)
    self.scales = dict(streams.guidance)
    self.idle = None
    self.made = collections.deque()

  @property
  def frame(self):
    """Number of the next frame that will be made; the first is 0."""
    return self.timeline.frame

  @property
  def ready(self):
    """Frames that could be made by now."""
    return self.ear.ready

  def push(self, samples_S, rate=AudioFeatures.sample_rate, first=None):
    """Takes the next samples of the speech, any number of them.

    Args:
      samples_S: mono, int16 or floats in [-1, 1].
      rate: samples in a second, for the sake of the check.
      first: number of the first sample in the speech, for the same sake: a
        source that can lose or repeat packets should say it.

    Raises:
      UserError: closed or finished, another rate or type, NaN, a gap.
    """
    self._check_open()
    if first not in (None, self.ear.samples):
      raise UserError(
        f"speech from sample {first} on, but sample {self.ear.samples} is "
        "next: push silence for what is lost, drop what was pushed before"
      )
    if rate != AudioFeatures.sample_rate:
      raise UserError(
        f"speech of {rate} Hz: resample it to {AudioFeatures.sample_rate} Hz"
      )
    self.ear.push(samples_S)

  def finish(self):
    """Ends the speech: round(seconds * 25) frames will have been made."""
    self._check_open()
    self.ear.finish()

  def set(self, name, value, frame=None):
    """Asks for a control's value from a frame on.

    Args:
      name: of the control.
      value: numbers, or the name of a category.
      frame: the next one unless given.

    Raises:
      UserError: closed, no such control, an impossible value, a past frame.
    """
    self._check_open()
    if value is None:
      raise UserError(f"{name}: no value; clear() leaves it to the model")
    self.timeline.set(name, value, frame)

  def clear(self, name, frame=None):
    """Takes a wish back from a frame on: idling or the model decide."""
    self._check_open()
    self.timeline.set(name, None, frame)

  def wishes(self):
    """{control: numbers} of the next frame; moves on by one."""
    idle = self.idle.at(self.frame) if self.idle else {}
    return idle | self.timeline.advance()

  def guide(self, name, scale):
    """Changes the guidance of a signal from the next frame on.

    Args:
      name: "audio" or a control, among those that `Streams` was made to guide.
      scale: 1 is none.

    Raises:
      UserError: closed, a signal that is not guided, no finite number.
    """
    self._check_open()
    if name not in self.scales:
      raise UserError(
        f"guidance: {name} is not guided here; make Streams(..., "
        f"guidance={{{name!r}: 1.0}})"
      )
    if not np.isfinite(scale):
      raise UserError(f"guidance: {name} = {scale}; a finite number is needed")
    self.scales[name] = float(scale)

  def pull(self):
    """All frames that can be made by now and were not pulled, uint8 [t Y X 3].

    Other streams that are ready move on in the same steps.
    """
    self._check_open()
    while self.ready:
      self._streams.advance()
    self._streams.hand_out()
    size = self._streams.generator.size
    none_tYX3 = np.zeros((0, size, size, 3), np.uint8)
    made_tYX3 = np.concatenate([none_tYX3, *self.made])
    self.made.clear()
    return made_tYX3

  def save(self):
    """Everything about the stream as bytes, for `Streams.restore`."""
    self._check_open()
    return self._streams.save(self)

  def close(self):
    """Frees the slot; nothing more can be done with the stream."""
    self._check_open()
    self._streams.release(self)
    self._streams = None

  def _check_open(self):
    if self._streams is None:
      raise UserError("this stream is closed; open another one")
