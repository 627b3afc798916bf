"""Writes mp4 files while their frames are still being made.

H.264 in yuv420p with AAC and the index in front: what browsers, phones and
players all open. Nothing appears under the final name before it is complete.
"""

import contextlib
import fractions
import os
import pathlib

import av
import numpy as np
from PIL import Image

from eartalk_jax import files
from eartalk_jax.errors import UserError
from eartalk_jax.spans import FPS

# Smaller pictures are enlarged by a whole factor to at least this many pixels.
WATCHABLE = 256


@contextlib.contextmanager
def writing_video(path, size_YX, fps=FPS, sample_rate=None):
  """A context in which frames and samples become one mp4 file.

  The file is complete when the context ends; if it ends by an exception there
  is none, and an older file of that name stays.

  Args:
    path: the mp4 file to make.
    size_YX: rows and columns of the pictures.
    fps: frames a second, an integer.
    sample_rate: of the sound track, in Hz; None for a silent film.

  Yields:
    The `Film` to write to.

  Raises:
    UserError: the folder cannot be written to.
  """
  path = pathlib.Path(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"{path}: cannot be written ({error.strerror}); name another file"
    ) from error
  options = {"movflags": "+faststart"}
  with (
    files.replacing(path) as temporary,
    av.open(os.fspath(temporary), "w", format="mp4", options=options) as file,
  ):
    film = Film(file, tuple(size_YX), fps, sample_rate)
    yield film
    film.finish()


def tag_colours(stream):
  """Says of an H.264 stream in which colours its pictures are encoded.

  Those of FFmpeg's conversion from RGB: the matrix of BT.601 in its limited
  range. Untagged, players take large pictures for BT.709.

  Args:
    stream: a video stream of PyAV before its first picture.
  """
  context = stream.codec_context
  # Numbers of ISO/IEC 23091-2; primaries and curve are those of screens.
  context.color_primaries, context.color_trc = 1, 1
  context.colorspace, context.color_range = 6, 1


class Film:
  """Takes frames and samples, in any order and amount."""

  def __init__(self, file, size_YX, fps, sample_rate):
    """Adds the streams to an open PyAV container."""
    self.frames = 0
    self._file, self._size_YX = file, size_YX
    self._fps, self._rate = fps, sample_rate
    self._samples = 0
    self._shown_XY = _watchable_size(size_YX)
    self._video = file.add_stream("libx264", rate=fps)
    self._video.width, self._video.height = self._shown_XY
    self._video.pix_fmt = "yuv420p"
    tag_colours(self._video)
    self._video.options = {"crf": "16", "preset": "fast", "threads": "2"}
    self._audio = None
    if sample_rate:
      self._audio = file.add_stream("aac", rate=sample_rate)
      self._audio.layout = "mono"
      self._audio.bit_rate = 96_000

  def write(self, frame_YX3):
    """Adds one uint8 picture."""
    if frame_YX3.shape != (*self._size_YX, 3):
      raise ValueError(f"{frame_YX3.shape} is not {self._size_YX} in colour")
    picture = Image.fromarray(frame_YX3)
    if picture.size != self._shown_XY:
      picture = picture.resize(self._shown_XY, Image.Resampling.BICUBIC)
    frame = av.VideoFrame.from_image(picture)
    frame.pts = self.frames
    frame.time_base = fractions.Fraction(1, self._fps)
    self.frames += 1
    self._file.mux(self._video.encode(frame))

  def write_audio(self, samples_S):
    """Adds mono samples: float in [-1, 1]."""
    if not len(samples_S):
      return
    samples_1S = np.clip(samples_S, -1, 1).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples_1S, "fltp", "mono")
    frame.sample_rate = self._rate
    frame.pts = self._samples
    frame.time_base = fractions.Fraction(1, self._rate)
    self._samples += len(samples_S)
    self._file.mux(self._audio.encode(frame))

  def finish(self):
    """Writes what the encoders still hold."""
    self._file.mux(self._video.encode(None))
    if self._audio:
      self._file.mux(self._audio.encode(None))


def _watchable_size(size_YX):
  """Columns and rows of the film: enlarged if small, always even."""
  factor = max(1, -(-WATCHABLE // min(size_YX)))
  rows, columns = (side * factor + side * factor % 2 for side in size_YX)
  return columns, rows
