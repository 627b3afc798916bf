"""Compares an exported folder with its checkpoint.

Runs the JAX model and the folder's own PyTorch file on the same inputs with
the same seeds and tells the largest differences, never the mean: of every
module, of latents and pixels of streams in silence, with clipping audio, with
extreme controls, with nothing given at all, with guidance.
"""

import jax

from eartalk_jax import files, outputs
from eartalk_jax.export.verification import verify
from launch import cli
from launch.arguments import Parser, integer

_EPILOG = """
example:
  python -m launch.verify_export --checkpoint runs/demo/talker --export exported

What is asked: equal config and bits of every tensor; layers 1e-5 relative to
their scale, encoders of other libraries 1e-4; latents 1e-5 in the first frame
and 1e-3 later; pixels 1 of 255.
Needs PyTorch, on the CPU, and those libraries; it runs the modeling_eartalk.py
in the folder. Where a latent is several frames, its decoder may be slow:
--frames 1 is the least, four windows of the model.

exit status: 0 all is well, 1 something differs, 2 wrong use
"""


def main(argv=None):
  """The command."""
  parser = Parser("verify_export", __doc__, _EPILOG)
  add = parser.add_argument
  add("--checkpoint", required=True, metavar="DIR", help="the run's --workdir")
  add("--export", required=True, metavar="DIR", help="the exported folder")
  add(
    "--frames",
    type=integer(1, 100_000),
    default=250,
    help="of each stream (default 250)",
  )
  add("--json", metavar="FILE", help="file for all figures")
  args = parser.parse_args(argv)
  if args.json:
    reads = (args.checkpoint, args.export)
    outputs.check_file(args.json, "--json", reads)
  jax.config.update("jax_platforms", "cpu")
  figures = verify(args.checkpoint, args.export, args.frames)
  if "layers" in figures:
    _tell(figures)
  for failure in figures["failures"]:
    print(f"differs: {failure}")
  if args.json:
    files.write_json(args.json, figures)
  if figures["failures"]:
    return 1
  print(f"{args.export} is the checkpoint in PyTorch")
  return 0


def _tell(figures):
  layers = sorted(figures["layers"].items(), key=lambda item: -item[1])
  print(f"largest differences of {len(layers)} modules, relative to scale:")
  for name, rel in layers[:8]:
    print(f"  {rel:9.2e}  {name}")
  print(f"latents of {figures['frames']} frames, {figures['wraps']} wraps:")
  print(f"  {'first':>9}  {'last':>9}  {'any':>9}  scenario")
  for name, row in figures["scenarios"].items():
    print("  " + "  ".join(f"{x:9.2e}" for x in row.values()) + f"  {name}")
  for name in (
    "layer_max_rel",
    "encoder_max_rel",
    "first_frame_max_abs",
    "frame_250_max_abs",
    "pixels_max_levels",
    "audio_features_max_abs",
  ):
    value = figures[name]
    print(f"{name:24}{'not run' if value is None else f'{value:10.3g}'}")


if __name__ == "__main__":
  cli.run(main)
