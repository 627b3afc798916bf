"""What an operation of a trace is: its kind, and its part of the model.

The text of the compiled program tells: the opcode, what is fused into it, and
the path of the module that it was traced in.
"""

import dataclasses
import re

from eartalk_jax.hlo import text as hlo_text
from eartalk_jax.hlo.module import COLLECTIVES

MATMUL, COLLECTIVE = "matrix products", "collectives"
COPY, TRANSFER = "copies and layout", "transfers to and from the host"
REST = "elementwise, softmax, reductions"

_MATMUL = {"dot", "convolution", "ragged-dot"}
_COLLECTIVES = {*COLLECTIVES, "send", "recv"}
_COPIES = {
  "copy",
  "slice",
  "dynamic-slice",
  "dynamic-update-slice",
  "concatenate",
  "pad",
  "transpose",
  "reshape",
  "bitcast",
  "broadcast",
  # What else a computation has that only copies:
  "tuple",
  "get-tuple-element",
  "parameter",
  "constant",
}
# Steps of a path that are no module.
_CONTROL = {
  "while",
  "body",
  "cond",
  "closed_call",
  "checkpoint",
  "rematted_computation",
  "branch_0_fun",
  "branch_1_fun",
}
# Kernels of libraries, and operations that are in no text.
_BY_NAME = (
  (COLLECTIVE, r"nccl|^(all-|reduce-scatter|collective-)"),
  (TRANSFER, r"memcpy(H2D|D2H)|infeed|outfeed"),
  (MATMUL, r"gemm|cublas|cutlass|xmma|matmul|^dot|^convolution|\$conv"),
  (COPY, r"memcpy|memset|^copy|^transpose|^slice"),
)


@dataclasses.dataclass(frozen=True)
class Instruction:
  """The `kind` of an operation, and the `part` of the model it is from."""

  kind: str
  part: str


class Instructions:
  """The instructions of a compiled program by name."""

  def __init__(self, text):
    """Reads `compiled.as_text()`."""
    self._inside, _ = hlo_text.parse(text)
    self._lines = {
      name: line
      for computation in self._inside.values()
      for name, line in computation.items()
    }

  def __getitem__(self, name):
    line = self._lines.get(name)
    if line is None:
      return Instruction(_by_name(name), "others")
    return Instruction(self._kind(line), _part(line.rest))

  def _kind(self, line):
    if line.opcode in ("fusion", "call", "async-start"):
      called = line.attribute("calls") or line.attribute("to_apply")
      kinds = {self._kind(inner) for inner in self._inside[called].values()}
      # One matrix product outweighs all that is fused to it.
      order = (COLLECTIVE, MATMUL, TRANSFER, REST)
      return next((kind for kind in order if kind in kinds), COPY)
    if line.opcode == "custom-call":
      target = re.search(r'custom_call_target="([^"]*)"', line.rest)
      return _by_name(target.group(1) if target else line.name)
    opcode = line.opcode.removesuffix("-start").removesuffix("-done")
    if opcode in ("infeed", "outfeed"):
      return TRANSFER
    for kind, opcodes in ((MATMUL, _MATMUL), (COLLECTIVE, _COLLECTIVES)):
      if opcode in opcodes:
        return kind
    return COPY if opcode in _COPIES else REST


def _by_name(name):
  for kind, pattern in _BY_NAME:
    if re.search(pattern, name, re.IGNORECASE):
      return kind
  return REST


def _part(rest):
  """The first modules of the path that an instruction was traced in."""
  found = re.search(r'op_name="([^"]*)"', rest)
  path = found.group(1).split("/")[:-1] if found else []
  backward = any(name.startswith("transpose(") for name in path)
  # Not the wrappers of JAX, the methods, or an einsum's letters.
  names = [name for name in path if re.fullmatch(r"\w+", name)]
  names = [name for name in names if name not in _CONTROL][:3]
  if not names:
    return "loss and others" + " (backward)" * backward
  return "/".join(names) + " (backward)" * backward
