"""Which tokenizer it is: a hash over configuration and all numbers."""

import hashlib
import json

from eartalk_jax.config import to_dict


def fingerprint_of(config, arrays):
  """sha256 of a configuration and of arrays {name: array}."""
  text = json.dumps(to_dict(config), sort_keys=True)
  digest = hashlib.sha256(text.encode())
  for name, array in sorted(arrays.items()):
    digest.update(f"{name} {array.dtype} {array.shape}".encode())
    digest.update(array.tobytes())
  return digest.hexdigest()
