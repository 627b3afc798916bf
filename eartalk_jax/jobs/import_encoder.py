"""A pretrained encoder of another library becomes a folder of ours.

  OUT/tokenizer.json, or OUT/speech.json, and OUT/weights.safetensors
  OUT/LICENSE       what its folder says of its licence
  OUT/source.json   where it came from
  OUT/*.png         what it does with a picture, or with a sound

The folder is there whole or not at all.
"""

import dataclasses
import pathlib
from typing import Any

from eartalk_jax import files, speech, tokenizers
from eartalk_jax.bounds import shown
from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError
from eartalk_jax.importing import licences
from eartalk_jax.importing.sources import open_source
from eartalk_jax.outputs import check_folder
from eartalk_jax.speech import save_speech
from eartalk_jax.speech.pretrained import WINDOW
from eartalk_jax.telemetry.progress import working
from eartalk_jax.tokenizers.pair import paired
from eartalk_jax.tokenizers.storing import save_tokenizer

_UNKNOWN_LICENCE = (
  "unknown: nothing beside the weights says it; look where you got them\n"
)


@dataclasses.dataclass(frozen=True)
class Imported:
  """What was made of a source.

  Attributes:
    kind: of the encoder.
    encoder: Tokenizer or Speech.
    licence: text.
    dtypes: {type of the numbers in the files: tensors}.
  """

  kind: str
  encoder: Any
  licence: str
  dtypes: dict

  @property
  def hears(self):
    """Whether it is a speech encoder."""
    return self.kind in speech.KINDS


def importable():
  """Names of all kinds that can be imported."""
  kinds = {**tokenizers.KINDS, **speech.KINDS}
  return [kind for kind, module in kinds.items() if hasattr(module, "imported")]


def read_encoder(
  path,
  *,
  kind=None,
  size=None,
  chunk=None,
  window=None,
  states=None,
  trust_pickle=False,
):
  """Reads an encoder of another library, strictly.

  Args:
    path: its folder or file.
    kind: of the encoder; what config and tensors say unless given.
    size: side of the pictures, of a tokenizer; 512 unless given.
    chunk: (context, delay) in latents, of a decoder that looks ahead.
    window: (left, step, right) in frames, of a speech encoder.
    states: the hidden states that make its features.
    trust_pickle: whether a pickle may be read.

  Returns:
    Imported.

  Raises:
    UserError: it is damaged or none that is known, or a setting is of the other
      sort of encoder.
  """
  source = open_source(path, trust_pickle)
  kind = _kind_of(source, kind)
  if kind in tokenizers.KINDS:
    _refuse(kind, window=window, states=states)
    encoder = tokenizers.KINDS[kind].imported(source, size or 512)
    if chunk is not None:
      encoder = _with_chunk(encoder, chunk)
    tokenizers.check(encoder)
  else:
    _refuse(kind, size=size, chunk=chunk)
    encoder = speech.KINDS[kind].imported(source, window or WINDOW, states)
    speech.check(encoder)
  return Imported(kind, encoder, source.licence, source.dtypes)


def with_decoder(encoder, decoder):
  """The pair of what encodes by one and decodes by the other.

  Args:
    encoder, decoder: Imported, both tokenizers.

  Raises:
    UserError: their latents are not the same.
  """
  if encoder.hears or decoder.hears:
    raise UserError("--decoder: both must be tokenizers of pictures or videos")
  texts = (
    f"{part.kind}, which {does}:\n{part.licence or _UNKNOWN_LICENCE}"
    for part, does in ((encoder, "encodes"), (decoder, "decodes"))
  )
  pair = paired(encoder.encoder, decoder.encoder)
  dtypes = encoder.dtypes | decoder.dtypes
  return Imported("pair", pair, "\n\n".join(texts), dtypes)


def write_encoder(imported, sources, out, draw):
  """Writes the folder of an encoder.

  Args:
    imported: Imported.
    sources: where it came from: folders or files.
    out: the folder to make.
    draw: called with the encoder and the folder, to add pictures.

  Returns:
    What `draw` returns.

  Raises:
    UserError: there is something, or it cannot be written.
  """
  check_folder(out, reads=sources)
  with files.making_folder(out) as folder:
    if imported.hears:
      save_speech(folder, imported.encoder)
    else:
      save_tokenizer(folder, imported.encoder)
    licence = imported.licence or _UNKNOWN_LICENCE
    files.write_text(folder / licences.NAME, licence)
    said = {
      "from": [str(pathlib.Path(path).resolve()) for path in sources],
      "dtypes": imported.dtypes,
    }
    files.write_json(folder / "source.json", said)
    with working("trying it"):
      return draw(imported.encoder, folder)


def _with_chunk(tokenizer, chunk):
  """The same with another way of streaming its decoder."""
  if not hasattr(tokenizer.config, "context"):
    _refuse(tokenizer.kind, chunk=chunk)
  context, delay = chunk
  try:
    config = dataclasses.replace(tokenizer.config, context=context, delay=delay)
  except ValueError as error:
    raise UserError(f"--chunk {context},{delay}: {error}") from None
  return dataclasses.replace(tokenizer, config=config)


def _kind_of(source, wanted):
  """The kind of a Source; the wanted one, if one is.

  Raises:
    UserError: there is no such kind, or what it is cannot be told.
  """
  known = importable()
  if wanted is not None:
    if wanted not in known:
      raise UserError(f"--kind {wanted}: {nearest(wanted, known)}")
    return wanted
  kinds = {**tokenizers.KINDS, **speech.KINDS}
  found = [kind for kind in known if kinds[kind].recognises(source)]
  if len(found) == 1:
    return found[0]
  if found:
    raise UserError(f"{source.where} may be {' or '.join(found)}; give --kind")
  called = source.config.get("_class_name", source.config.get("model_type"))
  said = (
    f"its config.json says {shown(called)}" if called else "it says nothing"
  )
  raise UserError(
    f"{source.where} is no encoder that is known here ({said}, and its "
    f"{len(source.names)} tensors are of none: {', '.join(known)})"
  )


def _refuse(kind, **settings):
  for name, value in settings.items():
    if value is not None:
      raise UserError(f"--{name} is not for an encoder of kind {kind}")
