"""Saved streams as bytes that say whose they are and whether they are whole."""

import hashlib

from flax import serialization

from eartalk_jax.bounds import shown
from eartalk_jax.errors import UserError

_VERSION = 3
_DIGEST_BYTES = 32


def pack(content, model):
  """A dictionary of arrays, numbers and lists as bytes.

  Args:
    content: what to keep.
    model: fingerprint of the model that it belongs to.
  """
  packed = serialization.msgpack_serialize(
    {"version": _VERSION, "model": model, "content": content}
  )
  return hashlib.sha256(packed).digest() + packed


def unpack(saved, model):
  """What `pack` was given.

  The digest tells damage, not who wrote the bytes: it is no signature.

  Raises:
    UserError: the bytes are damaged, or another model's.
  """
  whole = isinstance(saved, bytes)
  packed = saved[_DIGEST_BYTES:] if whole else b""
  if not whole or hashlib.sha256(packed).digest() != saved[:_DIGEST_BYTES]:
    raise UserError("these bytes are no saved stream, or damaged")
  try:
    found = serialization.msgpack_restore(packed)
    owner, content = (found["version"], found["model"]), found["content"]
  except Exception as error:  # of many kinds: bytes that somebody made up
    raise does_not_load(error) from error
  if owner != (_VERSION, model):
    raise UserError(
      "the saved stream is of another model; restore it with the checkpoint "
      "that made it"
    )
  return content


def does_not_load(error):
  """The UserError about content that is whole but makes no stream."""
  return UserError(
    f"this saved stream does not load ({shown(error)}); save it once more"
  )
