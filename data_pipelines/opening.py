"""Opens media files: known formats only, and nothing but the file itself."""

import contextlib
import os

import av
from av.stream import Disposition

from data_pipelines.rejects import Reject

# FFmpeg goes by content, so a text that lists other files would be taken for a
# film made of those: playlists, ffconcat, image sequences are not among these.
_FORMATS = (
  "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpegts,mpeg,"
  "wav,w64,aiff,caf,au,mp3,aac,flac,ogg,amr,ac3,eac3"
)
# 8K; decoders hold a dozen pictures of such a size.
MOST_PIXELS = 8192 * 4320
# A sound packet of more samples per channel than this is no honest one.
_MOST_SAMPLES = 1 << 22
_LIMITS = {"max_pixels": str(MOST_PIXELS), "max_samples": str(_MOST_SAMPLES)}
# Titles come in any encoding. PyAV takes them as they are from version 19 on.
_OLD = int(av.__version__.split(".")[0]) < 19
_TITLES = {"metadata_errors": "replace"} if _OLD else {}


@contextlib.contextmanager
def opened(path):
  """Yields the PyAV container; whatever FFmpeg raises becomes a Reject.

  Raises:
    Reject: not_a_video, truncated (while opening), decode_error (while open).
  """
  try:
    # An absolute name behind "file:" is no protocol, whatever is in it.
    container = av.open(
      "file:" + os.path.abspath(os.fsdecode(path)),
      options=_LIMITS,
      container_options={
        "format_whitelist": _FORMATS,
        "protocol_whitelist": "file",
      },
      **_TITLES,
    )
  except (av.error.FFmpegError, OSError) as error:
    reason = "truncated" if _looks_like_media(path) else "not_a_video"
    raise Reject(reason, f"cannot be decoded ({_said(error)})") from None
  with container:
    try:
      yield container
    except av.error.FFmpegError as error:
      detail = f"cannot be decoded ({_said(error)})"
      raise Reject("decode_error", detail) from None


def track(container, kind):
  """The "audio" or "video" track that a player takes, ready to be decoded.

  Raises:
    Reject: no_audio or not_a_video (there is none), too_large, decode_error
      (no decoder).
  """
  video = container.streams.best("video")
  if video is not None and video.disposition & Disposition.attached_pic:
    video = None  # the cover of a sound file
  stream = video
  if kind == "audio":
    # Of the same programme, where a broadcast holds several.
    stream = container.streams.best("audio", related=video)
  if stream is None:
    reason = {"audio": "no_audio", "video": "not_a_video"}[kind]
    raise Reject(reason, f"has no {kind} track")
  if stream.codec_context is None:
    raise Reject(
      "decode_error", f"cannot be decoded: no decoder for its {kind}"
    )
  if kind == "video" and stream.width * stream.height > MOST_PIXELS:
    raise Reject(
      "too_large", f"has pictures of {stream.width} x {stream.height} pixels"
    )
  # Files are decoded side by side in processes; threads would only fight.
  stream.codec_context.thread_count = 1
  stream.codec_context.options = _LIMITS
  return stream


def _said(error):
  return error.strerror or str(error)


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
