"""Small media files for the tests, made with PyAV."""

import dataclasses
import fractions

import av
import numpy as np

_TICKS = 90_000


@dataclasses.dataclass
class Clip:
  """What to write; `times` are seconds, `audio` float [channels, S]."""

  pictures: np.ndarray | list
  times: np.ndarray
  audio: np.ndarray | None
  sample_rate: int = 16_000
  video_codec: str = "libx264"
  audio_codec: str = "aac"
  audio_start: float = 0.0
  layout: str | None = None  # of the channels; by their number
  block: int = 1024  # samples in a packet of sound
  lost: tuple = ()  # numbers of blocks that are not written
  pace: float = 1.0  # how much slower time stamps run than samples
  pixel_aspect: float = 1
  pixel_format: str = "yuv420p"
  tags: dict = dataclasses.field(default_factory=dict)  # of colour, numbers
  encoder: dict = dataclasses.field(default_factory=dict)  # options
  options: dict = dataclasses.field(default_factory=dict)


def write(path, clip):
  """Writes the clip; the container follows from the file's name."""
  with av.open(str(path), "w", options=clip.options) as container:
    streams = []
    if clip.pictures is not None:
      streams.append(_video_stream(container, clip))
    if clip.audio is not None:
      streams.append(_audio_stream(container, clip))
    packets = [p for stream, frames in streams for p in _encode(stream, frames)]
    for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
      container.mux(packet)
  return path


def _encode(stream, frames):
  for frame in [*frames, None]:
    yield from stream.encode(frame)


def _video_stream(container, clip):
  stream = container.add_stream(clip.video_codec, rate=25)
  first = clip.pictures[0]
  if not isinstance(first, av.VideoFrame):
    first = av.VideoFrame.from_ndarray(np.asarray(first), format="rgb24")
  stream.width, stream.height = first.width, first.height
  stream.pix_fmt = clip.pixel_format
  for name, number in clip.tags.items():
    setattr(stream.codec_context, name, number)
  stream.time_base = fractions.Fraction(1, _TICKS)
  stream.codec_context.time_base = stream.time_base
  if clip.video_codec == "libx264":
    stream.options = {"preset": "ultrafast", "crf": "18"} | clip.encoder
  frames = []
  stream.sample_aspect_ratio = fractions.Fraction(clip.pixel_aspect)
  for time, picture in zip(clip.times, clip.pictures, strict=False):
    frame = picture  # as it is, or to be converted as players expect
    if not isinstance(picture, av.VideoFrame):
      frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
    frame.pts, frame.time_base = round(time * _TICKS), stream.time_base
    frames.append(frame)
  return stream, frames


def _audio_stream(container, clip):
  channels = len(clip.audio)
  layout = clip.layout or {1: "mono", 2: "stereo"}[channels]
  stream = container.add_stream(
    clip.audio_codec, rate=clip.sample_rate, layout=layout
  )
  frames = []
  for number, start in enumerate(range(0, clip.audio.shape[1], clip.block)):
    if number in clip.lost:
      continue
    # Packed, for PyAV cannot hold eight channels in planes.
    piece = clip.audio[:, start : start + clip.block].T.reshape(1, -1)
    piece = np.ascontiguousarray(piece, np.float32)
    frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=layout)
    frame.sample_rate = clip.sample_rate
    frame.pts = round(start * clip.pace + clip.audio_start * clip.sample_rate)
    frame.time_base = fractions.Fraction(1, clip.sample_rate)
    frames.append(frame)
  return stream, frames


def noise(seconds, rate=16_000, channels=1, seed=0):
  """Noise at speech level, float32 [channels, S]."""
  rng = np.random.default_rng(seed)
  shape = (channels, round(seconds * rate))
  return (0.1 * rng.standard_normal(shape)).astype(np.float32)


def bursts(seconds, rate=16_000, pace=1.0):
  """Hiss with a click at each half second, [S]; a second is pace * rate."""
  rng = np.random.default_rng(0)
  sound_S = 0.02 * rng.standard_normal(round(seconds * rate))
  click_S = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate // 250) / rate)
  for half in range(1, int(2 * seconds)):
    at = round(half / 2 / pace * rate)
    sound_S[at : at + len(click_S)] += click_S[: len(sound_S) - at]
  return sound_S.astype(np.float32)


def burst_errors(samples_S, start=0.0, rate=16_000):
  """By how many seconds each click is early or late."""
  level_S = np.abs(np.asarray(samples_S, float))
  loud = np.flatnonzero(level_S > 0.4 * level_S.max())
  times = loud[np.r_[True, np.diff(loud) > rate // 10]] / rate + start
  return times - np.round(2 * times) / 2


def numbered(count, width=64, height=64):
  """Pictures that carry their number in the grey of their four quarters."""
  pictures = np.zeros((count, height, width, 3), np.uint8)
  for i in range(count):
    digits = [i // 216 % 6, i // 36 % 6, i // 6 % 6, i % 6]
    for digit, (y, x) in zip(
      digits, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True
    ):
      ys = slice(y * height // 2, (y + 1) * height // 2)
      xs = slice(x * width // 2, (x + 1) * width // 2)
      pictures[i, ys, xs] = 30 + 36 * digit
  return pictures


def number(picture_YX3):
  """Which of the `numbered` pictures it is."""
  height, width = picture_YX3.shape[:2]
  value = 0
  for y, x in [(1, 1), (1, 3), (3, 1), (3, 3)]:
    cy, cx = y * height // 4, x * width // 4
    grey = picture_YX3[cy - 4 : cy + 4, cx - 4 : cx + 4].mean()
    value = value * 6 + round((float(grey) - 30) / 36)
  return value
