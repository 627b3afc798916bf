"""The licence of somebody's weights: it goes where the weights go."""

import pathlib

from eartalk_jax import files

NAME = "LICENSE"


def carry(source, target):
  """Copies the licence in one folder, if there is any, to another folder."""
  found = pathlib.Path(source) / NAME
  if found.is_file():
    files.write_text(pathlib.Path(target) / NAME, found.read_text())
