"""Makes a folder for PyTorch: weights, config, one file.

Whoever gets the folder needs torch and safetensors, neither JAX nor this
repository; with an imported tokenizer or speech encoder also diffusers or
transformers, as its README says:

  from modeling_eartalk import EARTalking
  model = EARTalking.from_pretrained("folder")
  frames = model.generate(portrait_YX3, samples_S)
"""

import jax

from eartalk_jax.export.exporting import export_folder
from launch import cli
from launch.arguments import Parser, integer

_EXAMPLES = """
examples:
  python -m launch.export_torch --checkpoint runs/demo/talker --out exported
  python -m launch.export_torch --checkpoint runs/ear_1b --step 50000 \\
    --weights raw --dtype bfloat16 --out exported
  python -m launch.verify_export --checkpoint runs/demo/talker --export exported

Works on any host: no accelerator, no optimizer, one tensor in memory at a time.
The folder is there whole or not at all.
"""


def main(argv=None):
  """The command."""
  parser = Parser("export_torch", __doc__, _EXAMPLES)
  add = parser.add_argument
  add("--checkpoint", required=True, metavar="DIR", help="the run's --workdir")
  add("--out", required=True, metavar="DIR", help="the folder to make")
  add(
    "--weights",
    choices=("ema", "raw"),
    default="ema",
    help="the average that inference uses (default), or the raw parameters",
  )
  add(
    "--dtype",
    choices=("float32", "bfloat16"),
    default="float32",
    help="of the talker's weights (default float32); a tokenizer keeps float32",
  )
  add(
    "--step",
    type=integer(0),
    help="of the checkpoint (default: the newest)",
  )
  args = parser.parse_args(argv)
  jax.config.update("jax_platforms", "cpu")  # a run may have the accelerator
  step = export_folder(
    args.checkpoint, args.out, args.weights, args.dtype, args.step
  )
  print(f"{args.out}: step {step}, {args.weights} weights in {args.dtype}")


if __name__ == "__main__":
  cli.run(main)
