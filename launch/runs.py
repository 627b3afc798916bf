"""What a talker's work directory says about the data it was trained on."""

import json
import pathlib

from data_pipelines.shards import read_manifest
from eartalk_jax.errors import UserError


def read_config(workdir):
  """The resolved configuration of a run.

  Raises:
    UserError: the directory is not that of a run.
  """
  path = pathlib.Path(workdir) / "config.json"
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise UserError(
      f"{workdir} is not the work directory of a run ({path.name}: {error}); "
      "give the --workdir of python -m launch.train"
    ) from None


def tokens_manifest(workdir):
  """The manifest of the token dataset that a run was trained on.

  Raises:
    UserError: that dataset is not there any more.
  """
  return read_manifest(read_config(workdir)["data"]["tokens"], "tokens")
