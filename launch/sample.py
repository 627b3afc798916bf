"""Makes a video: a portrait says what is heard in a file."""

import argparse
import os

import numpy as np

from data_pipelines.isolation import apart
from data_pipelines.portrait import load_portrait
from data_pipelines.speech import count_frames, stream_features, stream_samples
from eartalk_jax import bounds, heads
from eartalk_jax.controls.idle import Idle, fill
from eartalk_jax.controls.requests import Schedule, read_controls, read_portrait
from eartalk_jax.counting import counting
from eartalk_jax.denoising.guidance import STRONGEST
from eartalk_jax.errors import UserError
from eartalk_jax.generate import load_generator
from eartalk_jax.outputs import check_file
from eartalk_jax.spans import FPS
from eartalk_jax.training.compilation import use_compile_cache
from eartalk_jax.video import writing_video
from launch import arguments, cli

# Of the sound track; the model itself listens at 16 kHz.
SOUND_RATE = 48_000

_scale = arguments.number(-STRONGEST, STRONGEST)

_EPILOG = """example:
  python -m launch.sample --checkpoint runs/demo/talker --portrait me.jpg \\
    --audio speech.wav --out talking.mp4 --controls controls.json

controls file (JSON), frames counted from 0 at 25 a second:
  {"pose":    {"0": [0.3, 0, 0], "50": [-0.3, 0, 0], "75": null},
   "emotion": {"0": "happy"},
   "blink":   {"20": 1, "24": null}}
A value holds until the next key of its control; null, and every frame before
the first key, leaves it to the model. Pose is yaw, pitch, roll, gaze is x, y,
all in [-1, 1] (1 is as far as they go: no degrees); blink is in [0, 1];
categories go by name. What is known of the portrait is said without frames:
{"pose": [0.3, 0, 0], "emotion": "neutral"}
"""


def make_video(generator, args):
  """Generates the video that the arguments ask for; returns its frames.

  Args:
    generator: see `eartalk_jax.generate`.
    args: the command's arguments.
  """
  portraits_SYX3 = np.stack(
    [
      apart(load_portrait, path, generator.size, args.faces)
      for path in args.portrait
    ]
  )
  frames = count_frames(args.audio)
  known = {}
  if args.portrait_controls:
    known = read_portrait(
      args.portrait_controls, generator.config.controls, generator.categories
    )
  chunks = generator.generate(
    portraits_SYX3[None],
    (heard[None] for heard in stream_features(args.audio, generator.speech)),
    _controls(generator, args, frames, known),
    portrait_controls=known,
    seeds=[args.seed],
    guidance=_guidance(args),
  )
  sound = _Sound(args.audio)
  size_YX = (generator.size, generator.size)
  with (
    writing_video(args.out, size_YX, FPS, SOUND_RATE) as film,
    counting("frames", frames, "frames") as advance,
  ):
    for chunk_BTYX3 in chunks:
      for frame_YX3 in chunk_BTYX3[0]:
        film.write(frame_YX3)
      film.write_audio(sound.take(chunk_BTYX3.shape[1] * SOUND_RATE // FPS))
      advance(chunk_BTYX3.shape[1])
  return frames


def _controls(generator, args, frames, known):
  """What the arguments ask of any span of frames, as `generate` takes it."""
  specs, schedule = generator.config.controls, Schedule({}, {})
  if args.controls:
    schedule = read_controls(args.controls, specs, generator.categories, frames)
  poses = {name: value_BK[0] for name, (value_BK, _) in known.items()}
  idle = None if args.no_idle else Idle(specs, poses, args.seed)

  def asked(start, stop):
    controls, given = schedule.span(start, stop)
    if idle:
      fill(idle, start, stop, controls, given)
    return (
      {name: value_tK[None] for name, value_tK in controls.items()},
      {name: given_t[None] for name, given_t in given.items()},
    )

  return asked


def _guidance(args):
  """What the flags ask for: {signal: scale}."""
  wishes = [("audio", args.audio_guidance)] * (args.audio_guidance != 1)
  wishes += args.guidance
  scales = dict(wishes)
  if len(scales) < len(wishes):
    raise UserError("--guidance says a signal twice; give it once")
  return scales


def _wish(text):
  """An argument's type: SIGNAL=SCALE as (signal, scale)."""
  name, _, scale = text.partition("=")
  try:
    return name, _scale(scale)
  except argparse.ArgumentTypeError as error:
    raise argparse.ArgumentTypeError(
      f"{error}, in the form SIGNAL=SCALE, audio=1.5 say"
    ) from None


class _Sound:
  """The audio file again, to be taken in pieces of any length."""

  def __init__(self, path):
    self._pieces = stream_samples(path, SOUND_RATE)
    self._rest_S = np.zeros(0, np.float32)

  def take(self, samples):
    """The next samples; fewer at the end."""
    pieces, length = [self._rest_S], len(self._rest_S)
    while length < samples:
      piece_S = next(self._pieces, None)
      if piece_S is None:
        break
      pieces.append(piece_S)
      length += len(piece_S)
    joined_S = np.concatenate(pieces)
    self._rest_S = joined_S[samples:]
    return joined_S[:samples]


def _arguments(argv):
  parser = arguments.Parser("sample", __doc__, _EPILOG)
  add = parser.add_argument
  add("--checkpoint", required=True, help="work directory of launch.train")
  add(
    "--portrait",
    required=True,
    nargs="+",
    help="picture of whoever shall talk; more of the same person for a model "
    "that was trained with several sinks",
  )
  add("--audio", required=True, help="WAV, MP4 or any file with sound")
  add("--out", required=True, help="the mp4 file to make")
  add("--controls", help="JSON file, see below")
  add(
    "--portrait-controls",
    help="JSON file: pose, emotion, ... of the portrait itself, as far as "
    "known; faces turn better with it, see below",
  )
  add(
    "--no-idle",
    action="store_true",
    help="leave what --controls does not ask for to the model: without this, "
    "faces blink, look about and, if the portrait's pose is known, sway",
  )
  add(
    "--seed",
    type=arguments.integer(0, bounds.LAST_SEED),
    default=0,
    help="of the noise (default 0)",
  )
  add(
    "--audio-guidance",
    type=_scale,
    default=1.0,
    help="above 1 follows the audio harder, at twice the work (default 1)",
  )
  add(
    "--guidance",
    action="append",
    type=_wish,
    default=[],
    metavar="SIGNAL=SCALE",
    help="the same for any control, pose=1.5 say; may be given several times, "
    "each adds the work of one more video",
  )
  for name, kind, text in (
    ("steps", arguments.integer, "sampling steps (default: as trained)"),
    ("sets", arguments.integer, "sets of tokens in a frame, of a masked head"),
    (
      "temperature",
      arguments.number,
      "scale of the noise, 0 to 2; 1 draws from what was learned, less is "
      "steadier (default: as trained)",
    ),
  ):
    add(f"--{name}", type=kind(*heads.SETTINGS[name]), help=text)
  add(
    "--faces",
    default="cascade",
    help="how to crop the portrait: cascade (find the face), whole (it is "
    "cropped already), package.module:function (default cascade)",
  )
  return parser.parse_args(argv)


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  for name in ("portrait", "audio", "controls", "portrait_controls"):
    paths, flag = getattr(args, name) or [], name.replace("_", "-")
    for path in [paths] if isinstance(paths, str) else paths:
      if not os.path.isfile(path):
        raise UserError(f"--{flag} {path}: there is no such file")
  reads = [args.audio, args.controls, args.portrait_controls, *args.portrait]
  check_file(args.out, reads=[args.checkpoint, *reads])
  use_compile_cache()
  generator = load_generator(args.checkpoint).sampling(
    steps=args.steps, sets=args.sets, temperature=args.temperature
  )
  frames = make_video(generator, args)
  print(f"{args.out}: {frames} frames, {frames / FPS:.2f} s")


if __name__ == "__main__":
  cli.run(main)
