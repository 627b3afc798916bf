"""The sound of any media file in pieces: mono, at any rate, true to its time.

The one way in which sound is read: for datasets and for the videos that a
trained model makes. Nothing is held but the piece at hand.

Dimension key:  S samples, C channels.
"""

import av
import numpy as np
import soxr

from data_pipelines.child import alive
from data_pipelines.mixing import Mixes
from data_pipelines.opening import opened, track
from data_pipelines.rejects import Reject
from data_pipelines.stamps import Follower

# Below, no speech; above, no sound: headers that lie.
_RATES = 4_000, 768_000
# Full scale is 1. Masters in floats go over it by a few dB; 18 dB above it,
# samples are in another range, of 16 or 24 bits mostly.
_LOUDEST = 8


class MonoSound:
  """The sound of a file, to be read once.

  Attributes:
    start: seconds at which its first sample is heard, on the file's time line;
      known when the first piece is.
    mixes: how its channels are mixed, measured while it is read.
  """

  def __init__(self, path, rate, mixes=None):
    """Of that many samples per second, mixed as was measured before."""
    self.start = None
    self.mixes = mixes or Mixes()
    self._path, self._rate = path, rate

  def pieces(self):
    """Yields float32 [S], some of them empty.

    Raises:
      Reject: not_a_video, truncated, no_audio, bad_audio, decode_error.
    """
    resampler, follower = None, None
    for samples_CS, names, rate, time in _frames(self._path):
      if follower is None:
        follower = Follower(rate)
        resampler = soxr.ResampleStream(rate, self._rate, 1, dtype="float32")
      for piece_S in follower.push(
        self.mixes.mix(samples_CS, names, rate), time
      ):
        self.start = follower.start
        yield resampler.resample_chunk(piece_S)
    if follower is None:
      raise Reject("no_audio", "has an empty audio track")
    for piece_S in follower.flush():
      self.start = follower.start
      yield resampler.resample_chunk(piece_S)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def measured(path):
  """The `Mixes` of a file's sound, without its samples. Raises as `pieces`."""
  mixes = Mixes()
  with opened(path) as container:
    layout = track(container, "audio").codec_context.layout
  if layout.nb_channels > 1:
    for samples_CS, names, rate, _ in _frames(path):
      mixes.mix(samples_CS, names, rate)
  return mixes.settled()


def _frames(path):
  """Yields (float32 [C S], channel names, rate, seconds or None)."""
  with opened(path) as container:
    stream = track(container, "audio")
    form, rate, to_float = None, None, None
    for frame in container.decode(stream):
      alive()
      if rate is None:
        rate = _checked_rate(frame.sample_rate)
      if frame.sample_rate != rate:
        raise Reject("decode_error", "changes its sample rate half-way")
      if form != (frame.format.name, frame.layout.name):
        form = frame.format.name, frame.layout.name
        names = tuple(channel.name for channel in frame.layout.channels)
        to_float = _to_float(form[0], len(names))
      time = frame.time
      frame.pts = None  # converters take it ill when it jumps
      for samples_CS in to_float(frame):
        _check_range(samples_CS)
        yield samples_CS, names, rate, time


def _to_float(form, channels):
  """A function of an audio frame that gives its samples, float32 [C S]."""
  # PyAV miscounts the planes of eight channels and more, and crashes.
  if form == "fltp" and channels < 8:
    return lambda frame: [frame.to_ndarray()]
  resampler = av.AudioResampler("flt")
  return lambda frame: [
    packed.to_ndarray().reshape(-1, channels).T
    for packed in resampler.resample(frame)
  ]


def _checked_rate(rate):
  low, high = _RATES
  if not low <= rate <= high:
    raise Reject(
      "bad_audio", f"says {rate} samples a second, where {low} to {high} can be"
    )
  return rate


def _check_range(samples_CS):
  most = np.abs(samples_CS).max(initial=0)
  if not np.isfinite(most):
    raise Reject("bad_audio", "holds NaN or infinite samples")
  if most > _LOUDEST:
    raise Reject(
      "bad_audio",
      f"holds samples up to {most:.5g}, where floats end at 1",
    )
