"""Compares an imported encoder with its original library.

Runs both on the same pictures or sounds and tells the largest differences,
never the mean: of whole clips, of streams step by step, of every hidden state.
"""

import os

import jax

from eartalk_jax import files, outputs
from eartalk_jax.jobs.verify_encoder import verify
from eartalk_jax.telemetry.progress import working
from launch import cli
from launch.arguments import Parser, integer, number

_EPILOG = """examples:
  python -m launch.verify_encoder --from Wan2.1-T2V-1.3B-Diffusers/vae \\
    --encoder encoders/wan --json wan.json
  python -m launch.verify_encoder --from hubert-large-ls960-ft \\
    --encoder encoders/hubert

Needs the original libraries, on the CPU: pip install 'eartalk-jax[verify]'.
Large networks take minutes. Small ones differ by some 1e-6 of the scale, which
is the largest number of the original's output; what passes is --tolerance.

exit status: 0 it is the same function, 1 something differs, 2 wrong use
"""


def main(argv=None):
  """The command; returns its exit status."""
  args = _parser().parse_args(argv)
  if args.json:
    outputs.check_file(args.json, "--json", (args.source, args.encoder))
  os.environ.setdefault("HF_HUB_OFFLINE", "1")
  jax.config.update("jax_platforms", "cpu")
  with working("comparing"):
    figures = verify(args.source, args.encoder, args.size)
  allowed = args.tolerance * figures["scale"]
  for name, error in figures["parts"].items():
    mark = "" if error <= allowed else "  differs"
    print(f"{error:10.3g}  {name}{mark}")
  print(f"{figures['scale']:10.3g}  scale; allowed {allowed:.3g}")
  figures["tolerance"] = args.tolerance
  if args.json:
    files.write_json(args.json, figures)
  if max(figures["parts"].values()) > allowed:
    print(f"{args.encoder} is not the function of {args.source}")
    return 1
  print(f"{args.encoder} is {args.source} in JAX")
  return 0


def _parser():
  parser = Parser("verify_encoder", __doc__, _EPILOG)
  add = parser.add_argument
  add(
    "--from",
    dest="source",
    required=True,
    metavar="PATH",
    help="what it was imported from",
  )
  add("--encoder", required=True, metavar="DIR", help="of import_encoder")
  add(
    "--size",
    type=integer(8, 8192),
    help="side of the pictures compared (default: the tokenizer's, 256 at "
    "most; networks take any)",
  )
  add(
    "--tolerance",
    type=number(0, 1),
    default=1e-3,
    help="largest difference, as a share of the scale (default 1e-3)",
  )
  add("--json", metavar="FILE", help="file for all figures")
  return parser


if __name__ == "__main__":
  cli.run(main)
