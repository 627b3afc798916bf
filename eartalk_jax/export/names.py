"""How a parameter is called, and lies in memory, here and in PyTorch.

  backbone/layers/mlp/up/kernel [L-1, in, out]
    layers.I.mlp.up.weight [out, in], I < L-1
  backbone/last/merge/out/kernel [H, K, D]
    layers.L-1.merge.out.weight [D, H*K]
  conditions/hearing/conv_0/kernel [t, F, D]
    conditions.hearing.conv.0.weight [D, F, t]

Dimension key: in, out sides of a product, L layers, H heads, K head width,
D width, F mel bins, t taps.
"""

import math
import re

_SCANNED, _LAST = "backbone/layers/", "backbone/last/"


def torch_name(path, layer):
  """The name in PyTorch of a parameter; `layer` numbers those of the backbone.

  Args:
    path: as `trees.path_name` says it.
    layer: number of the layer, for parameters of the backbone.
  """
  for prefix in (_SCANNED, _LAST):
    if path.startswith(prefix):
      path = f"layers/{layer}/{path.removeprefix(prefix)}"
  # Names that a torch.nn.Module, or Python, has taken.
  path = path.replace("conditions/type", "conditions/signal_type")
  path = path.replace("/in/", "/enter/")
  path = re.sub(r"_(\d+)/", r"/\1/", path)
  path = re.sub(r"(kernel|scale)$", "weight", path)
  return path.replace("/", ".")


def split_layers(path, shape, depth):
  """What becomes of a parameter: [(name in PyTorch, index or None)].

  Args:
    path, shape: of the parameter.
    depth: layers of the backbone.
  """
  if path.startswith(_SCANNED):
    return [(torch_name(path, i), i) for i in range(shape[0])]
  return [(torch_name(path, depth - 1), None)]


def torch_shape(path, shape):
  """The shape in PyTorch of a parameter (of one layer)."""
  if _is_convolution(path):
    return shape[::-1]
  inside = _inside(path, shape)
  if inside is None:
    return (math.prod(shape),) if path.endswith("bias") else shape
  return math.prod(shape[inside:]), math.prod(shape[:inside])


def to_torch(path, array):
  """A parameter (of one layer) as PyTorch has it."""
  if _is_convolution(path):
    return array.transpose(2, 1, 0)
  inside = _inside(path, array.shape)
  if inside is None:
    return array.reshape(-1) if path.endswith("bias") else array
  return array.reshape(math.prod(array.shape[:inside]), -1).T


def from_torch(path, array, shape):
  """The inverse of `to_torch`; `shape` is that of the parameter here."""
  if _is_convolution(path):
    return array.transpose(2, 1, 0)
  if _inside(path, shape) is not None:
    array = array.T
  return array.reshape(shape)


def _is_convolution(path):
  return re.search(r"/conv_\d+/kernel$", path) is not None


def _inside(path, shape):
  """How many axes of a kernel are summed over; None if it is no kernel."""
  if not path.endswith("kernel"):
    return None
  return len(shape) - 1 if path.endswith("merge/out/kernel") else 1
