"""Saved streams as bytes that say whose they are and whether they are whole."""

import hashlib

from flax import serialization

from eartalk_jax.errors import UserError

_VERSION = 2
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

  Raises:
    UserError: the bytes are damaged, or another model's.
  """
  digest, packed = saved[:_DIGEST_BYTES], saved[_DIGEST_BYTES:]
  if hashlib.sha256(packed).digest() != digest:
    raise UserError("these bytes are no saved stream, or damaged")
  found = serialization.msgpack_restore(packed)
  if (found["version"], found["model"]) != (_VERSION, model):
    raise UserError(
      "the saved stream is of another model; restore it with the checkpoint "
      "that made it"
    )
  return found["content"]
