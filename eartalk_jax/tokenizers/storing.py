"""A tokenizer in a folder: written so that half of one is none, read strictly.

See the package for the files.
"""

import pathlib

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from eartalk_jax import files
from eartalk_jax.bounds import shown
from eartalk_jax.config import nearest, to_dict
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers import KINDS, check

VERSION = 4


def save_tokenizer(directory, tokenizer):
  """Writes the two files, each atomically, the one that vouches last.

  A folder that holds this very tokenizer stays as it is; while it gets another,
  it holds none.

  Raises:
    UserError: the disk is full or not writable.
  """
  directory = pathlib.Path(directory)
  try:
    if load_tokenizer(directory).fingerprint == tokenizer.fingerprint:
      return
  except UserError:
    pass  # none yet, or half of one
  directory.mkdir(parents=True, exist_ok=True)
  (directory / "tokenizer.json").unlink(missing_ok=True)
  with files.replacing(directory / "weights.safetensors") as temporary:
    temporary.write_bytes(save(tokenizer.arrays()))
  description = {
    "version": VERSION,
    "kind": tokenizer.kind,
    "config": to_dict(tokenizer.config),
    "latent_shape": list(tokenizer.latent_shape),
    "stride": tokenizer.stride,
    "fingerprint": tokenizer.fingerprint,
  }
  files.write_json(directory / "tokenizer.json", description)


def load_tokenizer(directory):
  """Reads what `save_tokenizer` wrote.

  Raises:
    UserError: there is none, or it is damaged, of another version or an unknown
      kind, or does not do what it declares.
  """
  directory = pathlib.Path(directory)
  kind, config, fingerprint = _read_description(directory)
  try:
    arrays = load_file(directory / "weights.safetensors")
    tokenizer = KINDS[kind].load(config, arrays)
  except (OSError, SafetensorError, ArithmeticError, UserError) as error:
    raise _damaged(directory, shown(error)) from error
  check(tokenizer)
  if tokenizer.fingerprint != fingerprint:
    raise _damaged(
      directory, "its weights are not those that tokenizer.json describes"
    )
  return tokenizer


def _damaged(directory, problem):
  return UserError(
    f"the tokenizer in {directory} is damaged ({problem}); copy or train it "
    "again"
  )


def _read_description(directory):
  """(kind, configuration, fingerprint) of tokenizer.json."""
  path = directory / "tokenizer.json"
  if not path.is_file():
    raise UserError(
      f"there is no tokenizer in {directory} (no tokenizer.json); "
      "python -m launch.train_tokenizer makes one in WORKDIR/tokenizer"
    )
  description = read_json(path, "copy or train it again")
  match description:
    case {"version": version} if version != VERSION:
      raise UserError(
        f"{path} has version {version!r}, but {VERSION} is needed; train it "
        "again"
      )
    case {"version": _, "config": dict(config), "fingerprint": str(found)}:
      # Files that are older than the kinds are all of one.
      kind = description.get("kind", "patches")
      if kind not in KINDS:
        raise UserError(
          f"{path}: unknown kind {kind!r}; {nearest(str(kind), KINDS)}"
        )
      return kind, config, found
  raise UserError(
    f"{path} is damaged (it does not say what it describes); copy or train it "
    "again"
  )
