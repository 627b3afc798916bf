"""What commands that compare models of several widths ask for."""

import argparse

from absl import flags

from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from launch.arguments import integer
from launch.out_flag import OUT

_WIDTHS = flags.DEFINE_list(
  "widths", ["64", "128", "256", "512"], "Widths of the backbone, ascending."
)


def widths():
  """The widths; raises UserError unless they are whole and ascending."""
  return parse_widths(_WIDTHS.value)


def parse_widths(words):
  """Ascending integers; raises UserError otherwise."""
  width = integer(1, 2**20)
  try:
    found = [width(word) for word in words]
  except argparse.ArgumentTypeError as error:
    raise UserError(f"--widths {error}") from None
  if len(found) < 2 or sorted(set(found)) != found:
    raise UserError("--widths needs at least two widths, the smallest first")
  return found


def out(reads=()):
  """A context in which this command alone works in the folder, which it makes.

  Args:
    reads: folders that the command reads.

  Raises:
    UserError: none is said, it cannot be written, or another one works there.
  """
  if not OUT.value:
    raise UserError("--out is needed; see --help")
  check_folder(OUT.value, reads=reads)
  return alone_in(OUT.value)
