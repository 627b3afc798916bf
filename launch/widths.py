"""What commands that compare models of several widths ask for."""

import pathlib
import re

from absl import flags

from eartalk_jax.errors import UserError
from eartalk_jax.outputs import check_folder
from launch.out_flag import OUT

_WIDTHS = flags.DEFINE_list(
  "widths", ["64", "128", "256", "512"], "Widths of the backbone, ascending."
)


def widths():
  """The widths; raises UserError unless they are whole and ascending."""
  return parse_widths(_WIDTHS.value)


def parse_widths(words):
  """Ascending integers; raises UserError otherwise."""
  if not all(re.fullmatch(r"\s*[0-9]{1,6}\s*", word) for word in words):
    raise UserError(
      f"--widths {','.join(words)} are not whole numbers below a million"
    )
  found = [int(word) for word in words]
  if len(found) < 2 or sorted(set(found)) != found:
    raise UserError("--widths needs at least two widths, the smallest first")
  return found


def out():
  """The folder to write to; raises UserError if none is said, or it cannot be.

  It is made if it is not there.
  """
  if OUT.value is None:
    raise UserError("--out is needed; see --help")
  check_folder(OUT.value)
  folder = pathlib.Path(OUT.value)
  folder.mkdir(parents=True, exist_ok=True)
  return folder
