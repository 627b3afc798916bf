"""A live stream from end to end: latency, growth with age, many at once.

  python -m benchmarks.stream --checkpoint runs/demo/talker --json stream.json

Needs what the extra "demo" installs.

In every number: log-mel features, controls, backbone, head, tokenizer, pixels
copied to the host, all through `eartalk_jax.streaming`; not in it: reading
files, encoding video, compiling. The speech is noise and the portrait too, for
the work does not depend on them.

  fps                   frames per second of one stream, one frame at a time
  first_frame_ms        open a stream, push what its first frame needs, pull it
  frame_ms_p50 ..._p99  push one frame's speech, pull one frame
  frame_ms_at_100, frame_ms_at_10000
                        median of 100 frames of a stream of that age; an old and
                        a young stream in turn, for machines change their speed
  rss_mb_at_100, rss_mb_at_10000
                        the process at that age
  recompilations        of the step, after its first frame
  batched_speedup_16    frames per second of 16 streams in 16 slots over those
                        of one stream in one slot, in turn as well
"""

import argparse
import statistics
import time

import numpy as np
import psutil

from benchmarks.timing import seconds
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.generate import load_generator
from eartalk_jax.outputs import check_file
from eartalk_jax.spans import FRAME_SAMPLES, SAMPLE_RATE
from eartalk_jax.streaming import Streams
from eartalk_jax.training.compilation import use_compile_cache
from launch import cli

_FRAME = FRAME_SAMPLES
_OLD = 10_000
_TIMED = 100
_OPENINGS = 20
_SLOTS = 16


def timed(function):
  """Milliseconds that a call takes."""
  began = time.perf_counter()
  function()
  return 1e3 * (time.perf_counter() - began)


class Talk:
  """One stream that is fed noise."""

  def __init__(self, streams, seed=0):
    rng = np.random.default_rng(seed)
    size = streams.generator.size
    portrait_YX3 = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    self.speech_S = rng.normal(0, 0.1, _FRAME).astype(np.float32)
    self.stream = streams.open(portrait_YX3, seed=seed)
    ahead = round(streams.look_ahead_seconds * SAMPLE_RATE)
    self.stream.push(np.resize(self.speech_S, ahead))

  def frame(self):
    """Pushes the speech of a frame and pulls the frame."""
    self.stream.push(self.speech_S)
    self.stream.pull()


def one_stream(generator):
  """The figures of one stream in one slot."""
  streams = Streams(generator)
  talk = Talk(streams)
  talk.frame()
  compiled = streams.compilations
  times, resident = [], {}
  with counting("one stream", _OLD, "frames") as advance:
    for age in range(1, _OLD + 1):
      times.append(timed(talk.frame))
      if age in (100, _OLD):
        resident[age] = psutil.Process().memory_info().rss / 2**20
      advance()
  young = Talk(Streams(generator))
  for _ in range(100):
    young.frame()
  young_ms, old_ms = in_turn(young.frame, talk.frame)
  again = streams.compilations - compiled
  talk.stream.close()
  recent = times[-2000:]
  cuts = statistics.quantiles(recent, n=100)
  return {
    "fps": 1e3 / statistics.fmean(recent),
    "first_frame_ms": _first_frame(streams),
    "frame_ms_p50": cuts[49],
    "frame_ms_p95": cuts[94],
    "frame_ms_p99": cuts[98],
    "frame_ms_at_100": young_ms,
    "frame_ms_at_10000": old_ms,
    "rss_mb_at_100": resident[100],
    "rss_mb_at_10000": resident[_OLD],
    "recompilations": again,
    "look_ahead_ms": 1e3 * streams.look_ahead_seconds,
  }


def _first_frame(streams):
  """Median milliseconds from opening a stream to its first frame."""

  def begin():
    talk = Talk(streams)
    talk.frame()
    talk.stream.close()

  return 1e3 * seconds(begin, repeats=_OPENINGS)


def in_turn(*functions):
  """The median milliseconds of each, called one after another."""
  times = [[timed(function) for function in functions] for _ in range(_TIMED)]
  return [statistics.median(column) for column in zip(*times, strict=True)]


def company(generator, slots):
  """A call that makes the next frame of `slots` streams together."""
  streams = Streams(generator, slots=slots)
  talks = [Talk(streams, seed) for seed in range(slots)]

  def frames():
    for talk in talks:
      talk.stream.push(talk.speech_S)
    for talk in talks:
      talk.stream.pull()

  return frames


def many_streams(generator):
  """How much faster 16 streams are together than one after another."""
  single = Talk(Streams(generator))
  frames = company(generator, _SLOTS)
  for warm_up in (single.frame, frames):
    warm_up()
  alone_ms, together_ms = in_turn(single.frame, frames)
  return {"batched_speedup_16": _SLOTS * alone_ms / together_ms}


def main(argv=None):
  """Prints the figures, and writes them."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.stream",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--checkpoint", required=True, help="a run of the talker")
  parser.add_argument("--json", help="file for the figures")
  args = parser.parse_args(argv)
  if args.json:
    check_file(args.json, "--json")
  use_compile_cache()
  generator = load_generator(args.checkpoint)
  figures = one_stream(generator)
  figures |= many_streams(generator)
  for name, value in figures.items():
    print(f"{name:20} {value:10.2f}")
  if args.json:
    files.write_json(args.json, figures)


if __name__ == "__main__":
  cli.run(main)
