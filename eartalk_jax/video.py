"""Writes mp4 files while their frames are still being made.

H.264 in yuv420p with AAC and the index in front: what browsers, phones and
players all open. Nothing appears under the final name before it is complete.
"""

import fractions
import os
import pathlib
import tempfile

import av
import numpy as np
from PIL import Image

from eartalk_jax.errors import UserError

# Smaller pictures are enlarged by a whole factor to at least this many pixels.
WATCHABLE = 256


class VideoWriter:
  """A context in which frames and samples become one mp4 file.

  Frames and samples come in any order and amount; the file is complete when
  the context ends, and absent when it ends by an exception.
  """

  def __init__(self, path, size_YX, fps=25, sample_rate=None):
    """Opens the file.

    Args:
      path: the mp4 file to make; an older one is replaced at the end.
      size_YX: rows and columns of the pictures.
      fps: frames a second, an integer.
      sample_rate: of the sound track, in Hz; None for a silent film.

    Raises:
      UserError: the folder cannot be written to.
    """
    self.path = pathlib.Path(path)
    self.size_YX = tuple(size_YX)
    self.frames = 0
    self._fps = fps
    self._rate = sample_rate
    self._samples = 0
    self._shown_XY = _watchable_size(self.size_YX)
    self._temp = _temporary(self.path)
    options = {"movflags": "+faststart"}
    self._file = av.open(self._temp, "w", format="mp4", options=options)
    self._video = self._video_stream()
    self._audio = None
    if sample_rate:
      self._audio = self._file.add_stream("aac", rate=sample_rate)
      self._audio.layout = "mono"
      self._audio.bit_rate = 96_000

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    try:
      if kind is None:
        self._close()
      else:
        self._file.close()
    finally:
      pathlib.Path(self._temp).unlink(missing_ok=True)

  def write(self, frame_YX3):
    """Adds one uint8 picture."""
    if frame_YX3.shape != (*self.size_YX, 3):
      raise ValueError(f"{frame_YX3.shape} is not {self.size_YX} in colour")
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

  def _video_stream(self):
    stream = self._file.add_stream("libx264", rate=self._fps)
    stream.width, stream.height = self._shown_XY
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": "16", "preset": "fast", "threads": "2"}
    return stream

  def _close(self):
    self._file.mux(self._video.encode(None))
    if self._audio:
      self._file.mux(self._audio.encode(None))
    self._file.close()
    with open(self._temp, "rb") as file:
      os.fsync(file.fileno())
    os.replace(self._temp, self.path)


def _watchable_size(size_YX):
  """Columns and rows of the film: enlarged if small, always even."""
  factor = max(1, -(-WATCHABLE // min(size_YX)))
  rows, columns = (side * factor + side * factor % 2 for side in size_YX)
  return columns, rows


def _temporary(path):
  """Makes an empty file beside `path`; UserError if that cannot be done."""
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
      prefix=f".{path.name}.", suffix=".part", dir=path.parent
    )
  except OSError as error:
    raise UserError(
      f"{path}: cannot be written ({error.strerror}); name another --out"
    ) from error
  os.close(handle)
  os.chmod(name, 0o644)
  return name
