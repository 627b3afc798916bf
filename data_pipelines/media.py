"""Media files as 25 pictures per second and 16 kHz mono samples.

Everything goes by presentation time stamps. Time zero of a file is where both
its picture and its sound have begun; output frame k is the source frame that
is nearest to zero + k / 25, and its sound is samples 640 k .. 640 (k + 1)
after zero. Memory does not grow with the picture size or the video's length.
"""

import dataclasses

import av
import numpy as np

from data_pipelines.deinterlacing import progressive
from data_pipelines.mono import MonoSound
from data_pipelines.opening import MOST_PIXELS, opened, track
from data_pipelines.rejects import Reject
from data_pipelines.shown import Frame, orientation
from eartalk_jax.spans import FPS, FRAME_SAMPLES, SAMPLE_RATE

# Of one file: its sound is held, 115 MB an hour.
_LONGEST_H = 3
# A container may promise this much more than it holds: rounding, padding.
_TRUNCATED_S = 0.5


@dataclasses.dataclass(frozen=True)
class Sound:
  """The decoded audio: int16 [S] at 16 kHz, first sample at `start` seconds."""

  start: float
  samples_S: np.ndarray

  @property
  def end(self):
    """Seconds, on the file's time line."""
    return self.start + len(self.samples_S) / SAMPLE_RATE

  def cut(self, zero, first, count):
    """Samples of output frames first..first+count, int16 [count * 640]."""
    begin = round((zero - self.start) * SAMPLE_RATE) + first * FRAME_SAMPLES
    piece_S = self.samples_S[begin : begin + count * FRAME_SAMPLES]
    return np.pad(piece_S, (0, count * FRAME_SAMPLES - len(piece_S)))


def read_sound(path):
  """All of a video's sound; see `mono`.

  Raises:
    Reject: not_a_video, truncated, no_audio, bad_audio, decode_error, too_long.
  """
  with opened(path) as container:
    track(container, "video")
    seconds = (container.duration or 0) / av.time_base
    _check_length(round(seconds * SAMPLE_RATE))
  sound = MonoSound(path, SAMPLE_RATE)
  samples_S = _held(sound)
  if sound.mixes.lose():  # read it again, otherwise
    sound = MonoSound(path, SAMPLE_RATE, sound.mixes.settled())
    samples_S = _held(sound)
  return Sound(sound.start, samples_S)


def _held(sound):
  held = bytearray()
  for piece_S in sound.pieces():
    held += _int16(piece_S).tobytes()
    _check_length(len(held) // 2)
  return np.frombuffer(held, np.int16)


def _check_length(samples):
  if samples > _LONGEST_H * 3600 * SAMPLE_RATE:
    raise Reject("too_long", f"is longer than {_LONGEST_H} hours; split it")


def _int16(samples_S):
  return np.clip(np.round(samples_S * 32768), -32768, 32767).astype(np.int16)


@dataclasses.dataclass
class Clock:
  """What a pass over the video finds out; complete when the pass is over.

  Attributes:
    zero: seconds at which output frame 0 is, on the file's time line.
    end: seconds at which the last source frame ends.
  """

  zero: float = 0.0
  end: float = 0.0


def frames_at_25(path, sound, clock):
  """Yields the `Frame` of output frames 0, 1, 2, ...

  Ends where the shorter of sound and picture ends, to the nearest frame. A
  source frame may come several times in a row, or never. Fills `clock`.

  Raises:
    Reject: no_frames, no_audio (none while there are pictures), truncated,
      decode_error, too_large.
  """
  last, step, count = None, 1 / FPS, 0
  with opened(path) as container:
    for frame in _timed(container, track(container, "video")):
      if last is None:
        clock.zero = max(frame.time, sound.start)
        limit = round((sound.end - clock.zero) * FPS)
      else:
        step = frame.time - last.time
        middle = (frame.time + last.time) / 2
        while count < limit and clock.zero + count / FPS < middle:
          yield last
          count += 1
        if frame.size != last.size:
          raise Reject("decode_error", "the picture's size changes")
      last = frame
    if last is None:
      raise Reject("no_frames")
    clock.end = last.time + _duration(last.frame, step)
    _check_complete(container, max(clock.end, sound.end))
    limit = min(limit, round((clock.end - clock.zero) * FPS))
    while count < limit:
      yield last
      count += 1
  if not count:
    raise Reject("no_audio", "sound and picture do not overlap")


def _timed(container, stream):
  """Frames with increasing times; others cannot be shown."""
  aspect = float(stream.sample_aspect_ratio or 1)
  last, rotation, turn = None, None, None
  for frame in progressive(container.decode(stream)):
    if frame.time is not None and (last is None or frame.time > last):
      last = frame.time
      # Looking closer ties a frame into a cycle, so that it is not freed soon.
      if turn is None or frame.rotation != rotation:
        rotation, turn = frame.rotation, orientation(frame)
      shown = Frame(last, frame, aspect, turn)
      width, height = shown.size
      if width * height > MOST_PIXELS:
        raise Reject("too_large", f"has pictures of {width} x {height} pixels")
      yield shown


def _duration(frame, step):
  """Of the last frame: what muxers write there is often a guess, too long."""
  said = float(frame.duration * frame.time_base) if frame.duration else step
  return min(said, step)


def _check_complete(container, end):
  if not container.duration:
    return
  promised = container.duration / av.time_base
  if end < promised - _TRUNCATED_S:
    raise Reject("truncated", f"ends at {end:.2f} of {promised:.2f} s")
