"""Imports a pretrained tokenizer or speech encoder.

Reads folders of diffusers and transformers and the original single files of
safetensors. Every tensor must have its place, and every place its tensor.
"""

from eartalk_jax.errors import UserError
from eartalk_jax.jobs import encoder_lines
from eartalk_jax.jobs.encoder_pictures import draw_speech, draw_tokenizer
from eartalk_jax.jobs.import_encoder import (
  importable,
  read_encoder,
  with_decoder,
  write_encoder,
)
from eartalk_jax.outputs import check_folder
from eartalk_jax.telemetry.progress import working
from launch import cli
from launch.arguments import Parser, integer

_EPILOG = """examples:
  python -m launch.import_encoder --from Wan2.1-T2V-1.3B-Diffusers/vae \\
    --size 512 --out encoders/wan
  python -m launch.import_encoder --from Wan2.1_VAE.pth --trust-pickle \\
    --decoder taew2_1.safetensors --out encoders/wan_cheap
  python -m launch.import_encoder --from hubert-large-ls960-ft \\
    --window 75,5,5 --states 6,12,18,24 --out encoders/hubert
  python -m launch.verify_encoder --from hubert-large-ls960-ft \\
    --encoder encoders/hubert

Then give the folder to launch.tokenize as --tokenizer or --speech. Nothing is
downloaded. DIR gets the weights as float32, what the folder says of its
licence, and a picture of what the encoder does: look at it.
"""


def main(argv=None):
  """The command."""
  args = _parser().parse_args(argv)
  sources = [args.source] + ([args.decoder] if args.decoder else [])
  check_folder(args.out, reads=sources)
  with working("reading the weights"):
    imported = read_encoder(
      args.source,
      kind=args.kind,
      size=args.size,
      chunk=args.chunk,
      window=args.window,
      states=args.states,
      trust_pickle=args.trust_pickle,
    )
    if args.decoder:
      decoder = read_encoder(
        args.decoder, size=args.size, trust_pickle=args.trust_pickle
      )
      imported = with_decoder(imported, decoder)
  for line in _told(imported):
    print(line, flush=True)
  draw = draw_speech if imported.hears else draw_tokenizer
  line = write_encoder(imported, sources, args.out, draw)
  print(f"{args.out}/{line}")
  print(f"{args.out}: {imported.kind}, {imported.encoder.fingerprint[:12]}")


def _parser():
  parser = Parser("import_encoder", __doc__, _EPILOG)
  add = parser.add_argument
  add(
    "--from",
    dest="source",
    required=True,
    metavar="PATH",
    help="folder with config.json and weights, or a file of weights",
  )
  add("--out", required=True, metavar="DIR", help="the folder to make")
  add(
    "--kind",
    metavar="KIND",
    help=f"where it cannot be told: {', '.join(importable())}",
  )
  add(
    "--size",
    type=integer(8, 8192),
    help="side of the pictures, of a tokenizer (default 512)",
  )
  add(
    "--decoder",
    metavar="PATH",
    help="another tokenizer of the same latents, to decode with",
  )
  add(
    "--chunk",
    type=_chunk,
    metavar="CONTEXT,DELAY",
    help="latents before and after those shown that an LTX decoder sees, of "
    "which the second are waited for (default 2,1)",
  )
  add(
    "--window",
    type=_window,
    metavar="LEFT,STEP,RIGHT",
    help="frames of 40 ms that a speech encoder hears before those that it "
    "makes, makes at a time, and waits for",
  )
  add(
    "--states",
    type=_states,
    metavar="N,...",
    help="hidden states that make the features, 0 is the first (default: the "
    "last one)",
  )
  add(
    "--trust-pickle",
    action="store_true",
    help="read a .pth, .bin or .ckpt: by PyTorch, its plain weights alone, in "
    "a process of its own",
  )
  return parser


def _told(imported):
  """Lines about an encoder: what it is, what it costs, what it allows."""
  types = ", ".join(f"{n} {name}" for name, n in imported.dtypes.items())
  yield f"{imported.kind}: tensors of {types}; kept as float32"
  tell = encoder_lines.of_tokenizer
  if imported.hears:
    tell = encoder_lines.of_speech
  yield from tell(imported.encoder)
  licence = imported.licence.strip().splitlines() or ["unknown"]
  yield "licence: " + " ".join(line.strip() for line in licence[:3])[:200]


def _window(text):
  return _numbers(text, "--window", 3, 10_000)


def _chunk(text):
  return _numbers(text, "--chunk", 2, 1000)


def _states(text):
  return _numbers(text, "--states", None, 1000)


def _numbers(text, flag, count, most):
  try:
    numbers = tuple(int(part) for part in text.split(","))
  except ValueError:
    numbers = ()
  wrong = count is not None and len(numbers) != count
  if not numbers or wrong or not all(0 <= n <= most for n in numbers):
    wanted = f"{count} whole numbers" if count else "whole numbers"
    raise UserError(f"{flag} {text}: give {wanted} from 0 to {most}, as 6,12")
  return numbers


if __name__ == "__main__":
  cli.run(main)
