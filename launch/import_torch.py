"""Brings a folder of PyTorch back as a work directory.

The folder is one of launch.export_torch, as it was or fine-tuned in PyTorch
and written by save_pretrained.
"""

import jax

from eartalk_jax.export.importing import import_folder
from launch import cli
from launch.arguments import Parser

_EXAMPLES = """
examples:
  python -m launch.import_torch --folder tuned --out runs/tuned
  python -m launch.sample --checkpoint runs/tuned --portrait me.jpg ...
  python -m launch.train --config configs/demo.py --workdir runs/on \\
    --config.run.start_from=runs/tuned@2400

It can be sampled from, evaluated and exported like any run. Training goes on
from its weights in a work directory of its own, with new moments, from step 0.
"""


def main(argv=None):
  """The command."""
  parser = Parser("import_torch", __doc__, _EXAMPLES)
  add = parser.add_argument
  add("--folder", required=True, metavar="DIR", help="of launch.export_torch")
  add("--out", required=True, metavar="DIR", help="the work directory to make")
  args = parser.parse_args(argv)
  jax.config.update("jax_platforms", "cpu")
  step = import_folder(args.folder, args.out)
  print(f"{args.out}: weights of step {step}")


if __name__ == "__main__":
  cli.run(main)
