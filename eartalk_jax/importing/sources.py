"""What a user downloaded: a folder of another library, or a single file.

  Source.config    config.json as a dictionary; {} of a single file without one
  Source.names     of all tensors; `tensor` reads one, as float32
  Source.licence   the text of its licence file, or the line of its model card

Read are safetensors: whole (`diffusion_pytorch_model.safetensors`,
`model.safetensors`) or in parts with an index. A pickle can run code when it is
read; it is taken only by explicit wish, and then by PyTorch's reader of plain
weights in a process of its own (`pickles`).
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping

import ml_dtypes  # noqa: F401, numpy learns of bfloat16 by it
import numpy as np
from safetensors import SafetensorError, safe_open

from eartalk_jax.documents import read_json, read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.importing import pickles

_REMEDY = "download it again"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_WHOLE = ("diffusion_pytorch_model.safetensors", "model.safetensors")
_LICENCES = ("LICENSE", "LICENCE")
_MOST_TEXT = 200_000


@dataclasses.dataclass(frozen=True)
class Source:
  """Tensors by name and what is said of them.

  Attributes:
    where: the folder or file, for messages.
    config: of config.json.
    names: of all tensors.
    read: name -> numpy array in the file's own type.
    dtypes: {name of a type in the files: how many tensors have it}.
    licence: text, "" if nothing is known.
    processor: preprocessor_config.json, or {}.
  """

  where: str
  config: dict
  names: tuple[str, ...]
  read: Mapping
  dtypes: dict
  licence: str = ""
  processor: dict = dataclasses.field(default_factory=dict)

  def tensor(self, name):
    """One tensor as float32."""
    return np.asarray(self.read[name], np.float32)

  def under(self, prefix):
    """The same with only the tensors below a prefix, which is cut off."""
    names = [name for name in self.names if name.startswith(prefix)]
    return self.renamed({name: name.removeprefix(prefix) for name in names})

  def renamed(self, new):
    """The same with the tensors of {name: new name} alone, by their new names.

    Raises:
      UserError: two of them would have one name.
    """
    old = {after: before for before, after in new.items()}
    if len(old) < len(new):
      raise UserError(f"{self.where}: it has a tensor twice; {_REMEDY}")
    return dataclasses.replace(
      self, names=tuple(old), read=_Renamed(self.read, old)
    )


class _Renamed(Mapping):
  def __init__(self, read, old):
    self._read, self._old = read, old

  def __getitem__(self, name):
    return self._read[self._old[name]]

  def __iter__(self):
    return iter(self._old)

  def __len__(self):
    return len(self._old)


class _Files(Mapping):
  """Tensors of safetensors files, read when they are asked for."""

  def __init__(self, paths):
    self._file, self.dtypes = {}, {}
    for path in paths:
      with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118, it is no dictionary
          if name in self._file:
            raise UserError(f"{path}: the tensor {name} is there twice")
          self._file[name] = path
          dtype = file.get_slice(name).get_dtype()
          self.dtypes[dtype] = self.dtypes.get(dtype, 0) + 1

  def __getitem__(self, name):
    path = self._file[name]
    with _opened(path) as file:
      try:
        return file.get_tensor(name)
      except (SafetensorError, TypeError, ValueError) as error:
        raise UserError(
          f"{path}: the tensor {name} cannot be read ({error}); {_REMEDY}"
        ) from None

  def __iter__(self):
    return iter(self._file)

  def __len__(self):
    return len(self._file)


def _opened(path):
  try:
    return safe_open(path, "numpy")
  except (SafetensorError, OSError) as error:
    raise UserError(
      f"{path} is no whole safetensors file ({error}); {_REMEDY}"
    ) from None


def open_source(path, trust_pickle=False):
  """Opens a folder of diffusers or transformers, or a single file.

  Args:
    path: folder with config.json and weights; or a file of weights, beside
      which a config.json may lie.
    trust_pickle: whether a pickle may be read.

  Raises:
    UserError: there is nothing such, it is damaged, or it is a pickle.
  """
  path = pathlib.Path(path)
  folder = path if path.is_dir() else path.parent
  if not path.exists():
    raise UserError(f"{path}: there is no such folder or file; check --from")
  weights = _weights(path, trust_pickle) if path.is_dir() else [path]
  if any(file.suffix in _PICKLES for file in weights):
    read = _from_pickle(weights, trust_pickle)
    dtypes = {}
    for array in read.values():
      dtypes[str(array.dtype)] = dtypes.get(str(array.dtype), 0) + 1
  else:
    read = _Files(weights)
    dtypes = read.dtypes
  return Source(
    str(path),
    _json(folder / "config.json"),
    tuple(read),
    read,
    dtypes,
    _licence(folder),
    _json(folder / "preprocessor_config.json"),
  )


def _json(path):
  return read_shaped(path, dict, _REMEDY) if path.is_file() else {}


def _weights(folder, trust_pickle):
  """The files of a folder's weights."""
  for name in _WHOLE:
    if (folder / name).is_file():
      return [folder / name]
    index = folder / f"{name}.index.json"
    if index.is_file():
      return _parts(index)
  single = sorted(folder.glob("*.safetensors"))
  if not single:
    single = sorted(p for p in folder.iterdir() if p.suffix in _PICKLES)
  if len(single) == 1:
    return single
  if single:
    listed = ", ".join(path.name for path in single[:5])
    raise UserError(
      f"{folder} has several files of weights ({listed}); give one"
    )
  parts = [p.name for p in folder.iterdir() if (p / "config.json").is_file()]
  hint = f"; give one of its folders {sorted(parts)[:9]}" if parts else ""
  raise UserError(
    f"{folder} has no weights ({', '.join(_WHOLE)} or another .safetensors)"
    + (hint or "; check --from")
  )


def _parts(index):
  content = read_json(index, _REMEDY)
  files = content.get("weight_map") if isinstance(content, dict) else None
  if not isinstance(files, dict):
    raise UserError(f"{index} is damaged; {_REMEDY}")
  names = sorted({str(name) for name in files.values()})
  paths = [index.parent / pathlib.Path(name).name for name in names]
  for path in paths:
    if not path.is_file():
      raise UserError(f"{path} is missing; {_REMEDY}")
  return paths


def _from_pickle(paths, trust_pickle):
  if not trust_pickle:
    raise UserError(
      f"{paths[0]} is a pickle, which can run code when it is read; get the "
      "safetensors file, or say --trust-pickle to have PyTorch read its plain "
      "weights in a process of its own"
    )
  return pickles.read_pickle(paths[0])


def _licence(folder):
  """The licence's text; where there is none, what the model card says."""
  for path in sorted(folder.iterdir()):
    if path.is_file() and path.stem.upper().startswith(_LICENCES):
      return path.read_text(errors="replace")[:_MOST_TEXT]
  card = folder / "README.md"
  if card.is_file():
    text = card.read_text(errors="replace")[:_MOST_TEXT]
    lines = re.findall(r"(?m)^license(?:_name|_link)?:.*$", text)
    return "\n".join(lines)
  return ""
