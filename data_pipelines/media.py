"""Media files as 25 pictures per second and 16 kHz mono samples.

Everything goes by presentation time stamps. Time zero of a file is where both
its picture and its sound have begun; output frame k is the source frame that
is nearest to zero + k / 25, and its sound is samples 640 k .. 640 (k + 1)
after zero. Memory does not grow with the picture size or the video's length.
"""

import contextlib
import dataclasses
import os

import av
import numpy as np
import soxr
from av.video.reformatter import Interpolation

from data_pipelines.rejects import Reject

FPS = 25
SAMPLE_RATE = 16_000
FRAME_SAMPLES = SAMPLE_RATE // FPS
# Steps in the audio's time stamps up to here are rounding, above they are real.
_JITTER_S = 0.05
_LONGEST_GAP_S = 60
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


@contextlib.contextmanager
def _opened(path, kind):
  """Yields (container, stream); whatever FFmpeg raises becomes a Reject."""
  try:
    # A title in another encoding is no reason to refuse a video.
    container = av.open(os.fspath(path), metadata_errors="replace")
  except (av.error.FFmpegError, OSError) as error:
    reason = "truncated" if _looks_like_media(path) else "not_a_video"
    raise Reject(reason, str(error)) from None
  with container:
    if not container.streams.video:
      raise Reject("not_a_video", "has no video track")
    stream = container.streams.best(kind)  # never a cover picture
    if stream is None:
      raise Reject("no_audio", "has no audio track")
    if stream.codec_context is None:
      raise Reject("decode_error", f"no decoder for its {kind}")
    # Files are decoded side by side in processes; threads would only fight.
    stream.codec_context.thread_count = 1
    try:
      yield container, stream
    except av.error.FFmpegError as error:
      raise Reject("decode_error", str(error)) from None


def _looks_like_media(path):
  """Whether it begins as an mp4, mov, mkv or webm file does."""
  try:
    with open(path, "rb") as file:
      head = file.read(12)
  except OSError:
    return False
  return (
    head[4:8] in (b"ftyp", b"moov", b"mdat") or head[:4] == b"\x1aE\xdf\xa3"
  )


def read_sound(path):
  """Decodes, mixes down and resamples the first audio track.

  Raises:
    Reject: not_a_video, truncated, no_audio, bad_audio, decode_error.
  """
  with _opened(path, "audio") as (container, stream):
    pieces, resampler, start = [], None, None
    for frame in container.decode(stream):
      samples_S = _mono(frame)
      if not np.isfinite(samples_S).all():
        raise Reject("bad_audio")
      if resampler is None:
        rate = frame.sample_rate
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
        start, received = frame.time or 0.0, 0
      if frame.sample_rate != rate:
        raise Reject("decode_error", "the audio's sample rate changes")
      if frame.time is not None:
        expected = round((frame.time - start) * rate)
        samples_S = _without_gap(samples_S, expected - received, rate)
      received += len(samples_S)
      pieces.append(_int16(resampler.resample_chunk(samples_S)))
    if resampler is None:
      raise Reject("no_audio", "the audio track is empty")
    rest_S = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    return Sound(start, np.concatenate([*pieces, _int16(rest_S)]))


def _mono(frame):
  """The mean of the channels, float32 [S] in [-1, 1]."""
  samples = frame.to_ndarray()  # [channels, S], or [1, S * channels] if packed
  if not frame.format.is_planar:
    samples = samples.reshape(-1, frame.layout.nb_channels).T
  if samples.dtype == np.uint8:
    samples = (samples.astype(np.float32) - 128) / 128
  elif samples.dtype.kind == "i":
    samples = samples / -float(np.iinfo(samples.dtype).min)
  return samples.mean(axis=0, dtype=np.float32)


def _without_gap(samples_S, gap, rate):
  """Keeps sound and time together: fills a hole, cuts an overlap."""
  if abs(gap) < _JITTER_S * rate:
    return samples_S
  if gap > _LONGEST_GAP_S * rate:
    raise Reject("decode_error", f"{gap / rate:.0f} s of audio are missing")
  if gap > 0:
    return np.concatenate([np.zeros(gap, np.float32), samples_S])
  return samples_S[-gap:]


def _int16(samples_S):
  return np.clip(np.round(samples_S * 32768), -32768, 32767).astype(np.int16)


@dataclasses.dataclass(frozen=True)
class Frame:
  """A decoded source frame: seconds on the file's time line, and pixels."""

  time: float
  frame: av.VideoFrame
  pixel_aspect: float

  @property
  def size(self):
    """(width, height) as it is to be seen: upright, with square pixels."""
    width = round(self.frame.width * self.pixel_aspect)
    height = self.frame.height
    return (height, width) if self._turns % 2 else (width, height)

  @property
  def _turns(self):
    return round(self.frame.rotation / 90) % 4

  def scaled(self, width, height):
    """The upright picture at that size, uint8 [Y, X, 3]."""
    if self._turns % 2:
      width, height = height, width
    small = self.frame.reformat(
      width, height, "rgb24", interpolation=Interpolation.AREA, threads=1
    )
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), self._turns))


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
      decode_error.
  """
  last, step, count = None, 1 / FPS, 0
  with _opened(path, "video") as (container, stream):
    for frame in _timed(container, stream):
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
  last = None
  for frame in container.decode(stream):
    if frame.time is not None and (last is None or frame.time > last):
      last = frame.time
      yield Frame(last, frame, aspect)


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
