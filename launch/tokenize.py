"""Turns a frames dataset into a token dataset."""

import pathlib
import time

from data_pipelines.shards import open_dataset
from data_pipelines.tokenize import tokenize
from eartalk_jax.importing import licences
from eartalk_jax.speech import open_speech
from eartalk_jax.tokenizers.storing import load_tokenizer
from eartalk_jax.training.compilation import use_compile_cache
from launch.arguments import Parser
from launch.cli import run

_EPILOG = """example:
  python -m launch.tokenize --input runs/demo/frames/train \\
    --tokenizer runs/demo/tokenizer/tokenizer --speech mel:40 \\
    --out runs/demo/tokens/train

Run again after an interruption, the command goes on where it was.
"""


def main():
  """Encodes every clip, shard by shard."""
  parser = Parser("tokenize", __doc__, _EPILOG)
  parser.add_argument("--input", required=True, help="frames dataset")
  parser.add_argument("--tokenizer", required=True, help="trained tokenizer")
  parser.add_argument(
    "--speech",
    default="mel",
    metavar="ENCODER",
    help="what hears: mel (80 bins), mel:BINS or the folder of an encoder "
    "(default mel)",
  )
  parser.add_argument("--out", required=True, help="folder of the tokens")
  parser.add_argument(
    "--mirror",
    action="store_true",
    help="each clip also in a mirror: twice the people, for training",
  )
  args = parser.parse_args()
  use_compile_cache()
  tokenizer = load_tokenizer(args.tokenizer)
  speech = open_speech(args.speech)
  began = time.monotonic()
  frames = open_dataset(args.input, "frames")
  manifest = tokenize(frames, tokenizer, speech, args.out, args.mirror)
  licences.carry(args.speech, pathlib.Path(args.out, "speech"))
  seconds = time.monotonic() - began
  print(
    f"{args.out}: {manifest['clips']} clips, {manifest['frames']} pictures, "
    f"{manifest['frames'] / seconds:.0f} pictures/s"
  )
  for line in _lines(manifest):
    print(f"{args.out}: {line}")


def _lines(manifest):
  """What is said of a token dataset whose clips are not wholly in latents."""
  stride = manifest["stride"]
  if manifest["left_over"]:
    yield (
      f"{manifest['left_over']} of the pictures, at ends of clips, are in no "
      f"latent: a clip is 1 + n * {stride} frames"
    )
  if manifest["too_short"]:
    yield (
      f"{manifest['too_short']} clips are shorter than the {1 + stride} frames "
      "of two latents; training skips them"
    )


if __name__ == "__main__":
  run(main)
