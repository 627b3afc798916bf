"""One live stream, as its user sees it.

Time is counted in frames outside and in steps inside: a step makes one latent,
which is `stride` frames, and the tokenizer shows them `delay` steps later. See
`spans` for the frame that comes before the first step's.

Dimension key: S samples, t frames, A vectors in a frame, F numbers in a vector,
K numbers of a control, Y X picture.
"""

import collections
import numbers

import numpy as np

from eartalk_jax.bounds import integer, shown
from eartalk_jax.denoising.guidance import parse_scale
from eartalk_jax.errors import UserError
from eartalk_jax.spans import (
  SAMPLE_RATE,
  first_made,
  frame_count,
  frames_of,
  latents_over,
)
from eartalk_jax.speech.contexts import Heard
from eartalk_jax.speech.encoding import encode
from eartalk_jax.speech.windows import Windows
from eartalk_jax.streaming.alone import alone
from eartalk_jax.streaming.timeline import Timeline, over_frames

# Frames that others' pulls make of a stream that nobody pulls: 2 seconds.
MOST_WAITING = 50


class Stream:
  """Speech and wishes in, frames out. `Streams.open` makes one.

  Any thread may call any method, see `Streams`.

  Attributes:
    row: its slot.
    windows, heard: what it heard: samples, and features not yet used.
    timeline: what is asked of it.
    scales: {signal: its guidance}.
    idle: Idle, what it does where nothing is asked; or None.
    made: frames that nobody pulled yet; about MOST_WAITING at most, then the
      stream stands still until it is pulled itself.
    shown: frames that were made so far.
    portrait_YX3: the frame before all others, until it is shown; or None.
    coming: steps on their way.
    broken: whether the next frame was tried and is no picture.
    lock: of all streams together.
  """

  def __init__(self, streams, row):
    config = streams.generator.config
    self._streams = streams
    tokenizer = streams.generator.tokenizer
    self._stride, self._delay = tokenizer.stride, tokenizer.delay
    self._ahead = streams.generator.recipe.AHEAD
    self.lock = streams.lock
    self.row = row
    self._speech = streams.generator.speech
    self.windows = Windows(self._speech)
    self.heard = Heard(streams.generator.reach)
    self.timeline = Timeline(config.controls, streams.generator.categories)
    self.scales = dict(streams.guidance)
    self.idle = None
    self.made = collections.deque()
    self.shown = 0
    self.portrait_YX3 = None
    self.coming = 0
    self.broken = False
    self._told = False  # that it is broken, while frames are waiting

  @property
  def frame(self):
    """Number of the next frame that will be made; the first is 0."""
    return self.timeline.frame

  @property
  def ready(self):
    """Frames that could be made by now."""
    steps = self._steps + self.ready_steps
    return self._frames_after(steps) - self._frames_after(self._steps)

  @property
  def _steps(self):
    """Steps that were asked for, those on their way included."""
    return self.heard.latent - first_made(self._stride) + self.coming

  @property
  def ready_steps(self):
    """Steps that could be asked for now, once their speech is encoded."""
    end = self.heard.end + self.windows.waiting
    if self.windows.finished:
      end = max(end, self.heard.end_of(self._latents))
    return max(self.heard.ready_at(end) - self._ahead - self.coming, 0)

  @property
  def told_steps(self):
    """Steps among them whose speech is encoded."""
    return max(self.heard.ready - self._ahead - self.coming, 0)

  @property
  def _latents(self):
    """Those that are needed to show all frames of a speech that has ended."""
    frames, first = frame_count(self.windows.samples), first_made(self._stride)
    if not frames:
      return 0
    steps = max(latents_over(frames, self._stride) - first, 1)
    return steps + self._delay + self._ahead

  def _frames_after(self, steps):
    """Frames that are shown after so many steps."""
    shown = max(steps - self._delay, 0)
    frames = shown and first_made(self._stride) + shown * self._stride
    if self.windows.finished:
      frames = min(frames, frame_count(self.windows.samples))
    return frames

  @alone
  def push(self, samples_S, rate=SAMPLE_RATE, first=None):
    """Takes the next samples of the speech, any number of them.

    What is not pulled yet is kept: 32 kB a second as features of mel, 64 kB as
    samples that a network is to encode.

    Args:
      samples_S: mono, int16 or floats in [-1, 1].
      rate: samples in a second, for the sake of the check.
      first: number of the first sample in the speech, for the same sake: a
        source that can lose or repeat packets should say it.

    Raises:
      UserError: closed or finished, another rate or type, NaN, floats far
        beyond [-1, 1], a gap.
    """
    self._check_open()
    heard = self.windows.samples
    if first is not None and integer(first, "first", None, None) != heard:
      raise UserError(
        f"speech from sample {first} on, but sample {heard} is next: push "
        "silence for what is lost, drop what was pushed before"
      )
    if not isinstance(rate, numbers.Real) or rate != SAMPLE_RATE:
      raise UserError(
        f"speech of {shown(rate)} Hz: resample it to {SAMPLE_RATE} Hz"
      )
    self.windows.push(samples_S)
    self._hear_alone()

  @alone
  def finish(self):
    """Ends the speech: round(seconds * 25) frames will have been made."""
    self._check_open()
    if self.windows.finished:
      return
    self.windows.finish()
    self._hear_alone()
    self.hear([])

  @alone
  def set(self, name, value, frame=None):
    """Asks for a control's value from a frame on.

    Args:
      name: of the control.
      value: numbers, or the name of a category.
      frame: the next one unless given. Of two wishes for a frame the later one
        holds.

    Raises:
      UserError: closed, no such control, an impossible value, a past frame.
    """
    self._check_open()
    if value is None:
      raise UserError(f"{name}: no value; clear() leaves it to the model")
    self.timeline.set(name, value, frame)

  @alone
  def clear(self, name, frame=None):
    """Takes a wish back from a frame on: idling or the model decide."""
    self._check_open()
    self.timeline.set(name, None, frame)

  @alone
  def guide(self, name, scale):
    """Changes the guidance of a signal from the next frame on.

    Args:
      name: "audio" or a control, among those that `Streams` was made to guide.
      scale: 1 is none.

    Raises:
      UserError: closed, a signal that is not guided, no sane number.
    """
    self._check_open()
    if not isinstance(name, str) or name not in self.scales:
      raise UserError(
        f"guidance: {name} is not guided here; make Streams(..., "
        f"guidance={{{shown(name)}: 1.0}})"
      )
    self.scales[name] = parse_scale(name, scale)

  @alone
  def pull(self):
    """All frames that can be made by now and were not pulled, uint8 [t Y X 3].

    Other streams that are ready move on in the same steps.

    Raises:
      UserError: closed; or the next frame is no picture, for its numbers are
        not finite. What was made before it comes with the next pull, and that
        frame is tried again: the stream goes on once its settings allow it.
    """
    self._check_open()
    self._streams.serve(self)
    self._told = self.broken and not (self._told and self.made)
    if self._told:
      raise UserError(
        f"frame {self.frame} is no picture (its numbers are not finite): bring "
        "this stream's guidance and controls nearer to what is usual and pull "
        "again, or close it; other streams go on"
      )
    size = self._streams.generator.size
    none_tYX3 = np.zeros((0, size, size, 3), np.uint8)
    made_tYX3 = np.concatenate([none_tYX3, *self.made])
    self.made.clear()
    return made_tYX3

  @alone
  def save(self):
    """Everything about the stream as bytes, for `Streams.restore`."""
    self._check_open()
    return self._streams.save(self)

  @alone
  def close(self):
    """Frees the slot; nothing more can be done with the stream."""
    self._check_open()
    self._streams.release(self)
    self._streams = None

  def _hear_alone(self):
    """What is no network is cheap: its features are made at once."""
    while self._speech.step is None and self.windows.waiting:
      self.hear(encode(self._speech, self.windows.next(1)))

  @property
  def hungry(self):
    """Whether it lacks a window's features, and has a window to make them of.

    A stream that does not move stays so: its samples wait.
    """
    few = self.told_steps * self._stride < (self._speech.step or 1)
    return few and self.windows.waiting > 0

  def hear(self, found):
    """Takes the features of its next windows, a list of [t A F]."""
    self.heard.push(self.windows.take(found))
    if self.windows.finished and not self.windows.waiting:
      self.heard.finish(self._latents)

  def moves(self):
    """Whether it takes part in a step that is made for another stream."""
    waiting = sum(map(len, self.made)) + self.coming * self._stride
    return self.ready_steps > 0 and not self.broken and waiting < MOST_WAITING

  def send(self):
    """What the next step is told: (what is heard [t F'], t wishes).

    A wish is {control: numbers of all frames of a latent}.
    """
    told = 1 + self._ahead
    heard_tF = self.heard.at(self.coming, told)
    first = self.heard.latent + self.coming
    self.coming += 1
    return heard_tF, [self._asked(first + later) for later in range(told)]

  def _asked(self, latent):
    """{control: numbers} of a latent's frames."""
    span, asked = frames_of(latent, self._stride), []
    for frame in range(span.start, span.stop):
      idle = self.idle.at(frame) if self.idle else {}
      asked.append(idle | self.timeline.at(frame))
    return over_frames(asked)

  def receive(self, frames_tYX3):
    """Takes what was made of the step sent first; None if it is no picture.

    Then all that was sent is void: its frames are the next ones still.
    """
    if frames_tYX3 is None:
      self.broken, self.coming = True, 0
    if self.broken:
      return
    self.coming -= 1
    self.timeline.advance_to(frames_of(self.heard.latent, self._stride).stop)
    self.heard.advance()
    steps = self.heard.latent - first_made(self._stride)
    count = self._frames_after(steps) - self.shown
    if self.portrait_YX3 is not None and count:
      frames_tYX3 = np.concatenate([self.portrait_YX3[None], frames_tYX3])
      self.portrait_YX3 = None
    if count:
      self.made.append(frames_tYX3[:count])
    self.shown += count

  def _check_open(self):
    if self._streams is None:
      raise UserError("this stream is closed; open another one")
