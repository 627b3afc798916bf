"""Ordinary mp4 files: H.264 and AAC, whole or not there at all.

Dimension key: Y rows, X columns, S audio samples, A audio channels.
"""

import av
import numpy as np

from eartalk_jax import files
from eartalk_jax.video import tag_colours

_VIDEO_OPTIONS = {"preset": "veryfast", "crf": "16", "threads": "1"}
_AUDIO_BIT_RATE = 128_000


def write_mp4(path, frames, size, timing, samples_AS, sample_rate):
  """Writes one film; equal arguments give equal bytes.

  Args:
    path: the file to make.
    frames: iterable of uint8 pictures [Y X 4], one per time stamp.
    size: columns and rows, both even.
    timing: a `Timing`.
    samples_AS: sound in [-1, 1], one or two channels.
    sample_rate: of the sound, in Hz.

  Raises:
    UserError: the folder cannot be written to.
  """
  with (
    files.replacing(path) as temporary,
    av.open(str(temporary), "w", format="mp4") as film,
  ):
    video = film.add_stream("libx264", rate=timing.rate)
    video.width, video.height = size
    video.pix_fmt = "yuv420p"
    tag_colours(video)
    video.options = _VIDEO_OPTIONS
    video.codec_context.time_base = timing.base
    audio = film.add_stream("aac", rate=sample_rate)
    audio.layout = "mono" if len(samples_AS) == 1 else "stereo"
    audio.bit_rate = _AUDIO_BIT_RATE
    audio.options = {"aac_coder": "fast"}
    _write_sound(film, audio, samples_AS)
    for pts, picture_YX4 in zip(timing.pts_T, frames, strict=True):
      frame = av.VideoFrame.from_ndarray(picture_YX4, format="rgba")
      frame.pts, frame.time_base = int(pts), timing.base
      film.mux(video.encode(frame))
    film.mux(video.encode(None))


def _write_sound(film, audio, samples_AS):
  samples_AS = np.ascontiguousarray(samples_AS, np.float32)
  layout = audio.layout.name
  frame = av.AudioFrame.from_ndarray(samples_AS, "fltp", layout)
  frame.sample_rate, frame.pts = audio.rate, 0
  film.mux(audio.encode(frame))
  film.mux(audio.encode(None))
