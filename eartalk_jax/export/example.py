"""A portrait says what is heard in an audio file: pip install av pillow.

  python example.py --portrait face.png --audio speech.wav --out talking.mp4 \\
    --controls '{"emotion": {"0": "happy"}}'

exit status: 0 done, 2 wrong use
"""

import argparse
import contextlib
import fractions
import itertools
import os
import pathlib
import sys

import av
import numpy as np
import torch
from modeling_eartalk import EARTalking, Stream, parse_json
from picture_files import read_portrait, shown

HERE = pathlib.Path(__file__).parent
# By content FFmpeg takes a text that lists other files for a film made of them.
FORMATS = (
  "mov,mp4,m4a,3gp,matroska,webm,avi,flv,asf,mpegts,mpeg,"
  "wav,w64,aiff,caf,au,mp3,aac,flac,ogg,amr,ac3,eac3"
)
# Titles in any encoding; PyAV takes them as they are from version 19 on.
TITLES = {"metadata_errors": "replace"} if int(av.__version__[:2]) < 19 else {}
SLOWEST = 4_000  # Hz; below there is no speech


def read_sound(path, rate):
  """Yields any sound in pieces, float32 [C, S]: its channels as they are."""
  resampler = av.AudioResampler("flt", rate=rate)
  with av.open(
    "file:" + os.path.abspath(path),
    container_options={
      "format_whitelist": FORMATS,
      "protocol_whitelist": "file",
    },
    **TITLES,
  ) as file:
    track = file.streams.best("audio")
    if track is None:
      raise ValueError(f"{shown(path)} has no sound")
    for frame in itertools.chain(file.decode(track), [None]):
      if frame:
        frame.pts = None  # only the order counts
        if frame.sample_rate < SLOWEST:
          raise ValueError(f"{shown(path)} says {frame.sample_rate} Hz")
      for piece in resampler.resample(frame):
        yield piece.to_ndarray().reshape(-1, piece.layout.nb_channels).T


def measure_sound(path, rate):
  """(number of samples, weight of each channel in which the voice is)."""
  samples, products = 0, 0.0
  for piece in read_sound(path, rate):
    samples += piece.shape[1]
    products += piece @ piece.T
  if not samples:
    raise ValueError(f"{shown(path)} has no sound")
  channels = len(products)
  mean = np.full((1, channels), 1 / channels)
  ways = np.concatenate([mean, np.eye(channels)])
  power = np.einsum("kc,cd,kd->k", ways, products, ways)
  # Near silence beside one of them: opposite phases, or one voice of many.
  lost = power[0] < 0.1 * power.max()
  return samples, ways[power.argmax() if lost else 0].astype(np.float32)


class Film:
  """An mp4 of pictures and mono sound, written while they are made."""

  def __init__(self, file, side, fps, rate):
    self.file, self.fps, self.rate = file, fps, rate
    self.frames = self.samples = 0
    self.video = file.add_stream("libx264", rate=fps)
    self.shown = side + side % 2  # yuv420p has even sides
    self.video.width = self.video.height = self.shown
    self.video.pix_fmt = "yuv420p"
    # What the numbers mean: BT.601 in 16 .. 235, primaries and curve of BT.709.
    context = self.video.codec_context
    context.colorspace, context.color_range = 6, 1
    context.color_primaries = context.color_trc = 1
    self.sound = file.add_stream("aac", rate=rate, layout="mono")

  def show(self, picture_YX3):
    """Adds a picture, uint8."""
    frame = av.VideoFrame.from_ndarray(picture_YX3).reformat(
      self.shown,
      self.shown,
      "yuv420p",
      dst_colorspace="ITU601",
      dst_color_range="MPEG",
    )
    frame.pts, frame.time_base = self.frames, fractions.Fraction(1, self.fps)
    self.frames += 1
    self.file.mux(self.video.encode(frame))

  def say(self, samples_S):
    """Adds sound, floats in [-1, 1]."""
    if len(samples_S):
      block = np.clip(samples_S, -1, 1)[None]
      frame = av.AudioFrame.from_ndarray(block, "flt", "mono")
      frame.sample_rate, frame.pts = self.rate, self.samples
      self.samples += len(samples_S)
      self.file.mux(self.sound.encode(frame))

  def finish(self):
    """Writes what the encoders still hold."""
    self.file.mux(self.video.encode(None))
    self.file.mux(self.sound.encode(None))


def partial_of(out):
  """The name beside `out` under which it is written."""
  return out.with_name(f".{os.getpid()}.tmp")


@contextlib.contextmanager
def filming(out, *settings):
  """A `Film` that has the name `out` once it is whole."""
  partial = partial_of(out)
  try:
    with av.open(os.fspath(partial), "w", format="mp4") as file:
      film = Film(file, *settings)
      yield film
      film.finish()
    os.replace(partial, out)
  finally:
    partial.unlink(missing_ok=True)


def check_out(out, reads):
  """Raises before any work if `out` cannot be written, or is read."""
  name = shown(out)
  if out.suffix.lower() != ".mp4" or out.is_dir():
    raise ValueError(f"--out {name}: give the name of an .mp4 file")
  if out.exists() and any(os.path.samefile(out, path) for path in reads):
    raise ValueError(f"--out {name} would replace what is read")
  probe = partial_of(out)
  try:
    probe.touch()
    probe.unlink()
    with contextlib.suppress(FileNotFoundError):
      os.lstat(out)  # fails if the name is too long
  except OSError as error:
    raise ValueError(
      f"--out {name} cannot be written ({error.strerror})"
    ) from None


def make_film(args):
  """Loads the folder that this file lies in and makes the video."""
  out = pathlib.Path(args.out)
  controls = parse_json(args.controls, "--controls")
  check_out(out, [args.portrait, args.audio])
  try:
    torch.zeros(1, device=args.device)
  except (RuntimeError, AssertionError) as error:
    raise ValueError(f"--device {args.device}: {error}") from None
  torch.set_float32_matmul_precision("highest")
  model = EARTalking.from_pretrained(HERE, device=args.device)
  side, fps = model.cfg.tokenizer.size, model.cfg.fps
  rate = model.cfg.audio.sample_rate
  portrait_YX3 = read_portrait(args.portrait, side)
  samples, weights = measure_sound(args.audio, rate)
  frames = round(samples * fps / rate)
  if not frames:
    raise ValueError(f"{shown(args.audio)} has no sound for a single frame")
  stream = Stream(model, portrait_YX3, seed=args.seed, compile=args.compile)
  stream.set_all(controls, frames)
  with filming(out, side, fps, rate) as film:
    for piece in read_sound(args.audio, rate):
      samples_S = weights @ piece
      stream.push(samples_S)
      film.say(samples_S[: frames * rate // fps - film.samples])
      for frame_YX3 in stream.pull():
        film.show(frame_YX3)
    stream.finish()
    for frame_YX3 in stream.pull():
      film.show(frame_YX3)
  return f"{shown(out)}: {film.frames} frames"


class Parser(argparse.ArgumentParser):
  """Whose complaints are a line."""

  def error(self, message):
    """Raises instead of printing the usage."""
    raise ValueError(f"{message}; see --help")


def main():
  """The command."""
  parser = Parser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("--portrait", required=True, help="a face, cropped")
  parser.add_argument("--audio", required=True)
  parser.add_argument("--out", default="talking.mp4")
  parser.add_argument("--controls", default="{}", help="JSON")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--device", default="cpu")
  parser.add_argument("--compile", action="store_true")
  try:
    print(make_film(parser.parse_args()))
  except (ImportError, ValueError, OSError, av.error.FFmpegError) as error:
    print("error:", " ".join(str(error).split())[:500], file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main())
