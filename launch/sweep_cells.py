"""Trains and measures cells of a sweep in this process.

python -m launch.sweep_cells DIR NUMBER...     what `launch.sweep run` starts
"""

import pathlib

from eartalk_jax.jobs.sweep_cells import run_cells
from launch import cli
from launch.arguments import Parser, integer


def main():
  """The command."""
  parser = Parser("sweep_cells", __doc__)
  parser.add_argument("directory", type=pathlib.Path)
  parser.add_argument("numbers", type=integer(0), nargs="+")
  args = parser.parse_args()
  run_cells(args.directory, args.numbers)


if __name__ == "__main__":
  cli.run(main)
