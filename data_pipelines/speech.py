"""The sound of any media file, in pieces: mono at the rate that is asked for.

Nothing is held but the piece at hand, so the length does not matter.

Dimension key:  S samples.
"""

import contextlib
import os

import av
import numpy as np
import soxr

from eartalk_jax.audio import AudioFeatures, MelStream, frame_count
from eartalk_jax.errors import UserError

_SPEC = AudioFeatures()


def stream_samples(path, rate):
  """Yields the first audio track as float32 pieces [S] of mono samples.

  Raises:
    UserError: no such file, no audio track, damaged, or NaN samples.
  """
  with _opened(path) as container:
    resampler, source_rate = None, None
    for frame in _float_frames(container):
      if resampler is None:
        source_rate = frame.sample_rate
        resampler = soxr.ResampleStream(source_rate, rate, 1, dtype="float32")
      if frame.sample_rate != source_rate:
        raise UserError(f"{path}: its sample rate changes; convert it to WAV")
      samples_S = frame.to_ndarray().mean(0)
      if not np.isfinite(samples_S).all():
        raise UserError(
          f"{path} holds NaN or infinite samples; repair or re-export it"
        )
      yield resampler.resample_chunk(samples_S)
    if resampler is None:
      raise UserError(f"{path} has an empty audio track; give another file")
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def count_frames(path):
  """Video frames that the file's sound gives: round(seconds * 25).

  Raises:
    UserError: as `stream_samples`, or the sound is shorter than half a frame.
  """
  samples = sum(
    len(samples_S) for samples_S in stream_samples(path, _SPEC.sample_rate)
  )
  frames = frame_count(samples, _SPEC)
  if not frames:
    raise UserError(
      f"{path} has {samples / _SPEC.sample_rate:.3f} s of sound, less than "
      "one video frame; give a longer file"
    )
  return frames


def stream_mel(path, bins):
  """Yields log-mel features [t, A, F] as the sound is read.

  Together they are `count_frames` frames. Raises as `stream_samples`.
  """
  stream = MelStream(AudioFeatures(bins=bins))
  for samples_S in stream_samples(path, _SPEC.sample_rate):
    mel_TAF = stream.push(samples_S)
    if len(mel_TAF):
      yield mel_TAF
  mel_TAF = stream.flush()
  if len(mel_TAF):
    yield mel_TAF


def _float_frames(container):
  """Decoded frames as planar float32, at the file's own rate and layout."""
  to_float = av.AudioResampler("fltp")
  for frame in container.decode(audio=0):
    frame.pts = None  # only the order counts, not what the container says
    yield from to_float.resample(frame)


@contextlib.contextmanager
def _opened(path):
  """Yields the container; whatever FFmpeg raises becomes a UserError."""
  try:
    with av.open(os.fspath(path)) as container:
      if not container.streams.audio:
        raise UserError(f"{path} has no audio track; give a file with speech")
      yield container
  except av.error.InvalidDataError:
    raise UserError(
      f"{path} cannot be decoded; give a WAV, MP3, MP4 or similar file"
    ) from None
  except (av.error.FFmpegError, OSError) as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}); check --audio"
    ) from None
