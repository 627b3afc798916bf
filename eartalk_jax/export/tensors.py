"""Arrays of JAX as PyTorch has them."""

import jax
import numpy as np


def torch_tensors(tree):
  """A tree of arrays as one of tensors."""
  import torch

  return jax.tree.map(lambda x: torch.from_numpy(np.array(x)), tree)


def torch_signals(signals):
  """Signals as the exported model takes them, in dictionaries."""
  plain = {
    "audio": signals.audio.value,
    "audio_given": signals.audio.given,
    "controls": {
      name: {"value": signal.value, "given": signal.given}
      for name, signal in signals.controls.items()
    },
  }
  return torch_tensors(plain)
