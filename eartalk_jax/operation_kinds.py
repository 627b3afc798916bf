"""What an operation of a trace is: its kind, and its part of the model.

The text of the compiled program tells: the opcode, what is fused into it, and
the path of the module that it was traced in.
"""

import dataclasses
import re

MATMUL, COLLECTIVE = "matrix products", "collectives"
COPY, TRANSFER = "copies and layout", "transfers to and from the host"
REST = "elementwise, softmax, reductions"

_MATMUL = {"dot", "convolution", "ragged-dot"}
_COLLECTIVES = {
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "ragged-all-to-all",
  "collective-permute",
  "collective-broadcast",
  "send",
  "recv",
}
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
# Kernels of libraries, and operations that are in no text.
_BY_NAME = (
  (COLLECTIVE, r"nccl|^(all-|reduce-scatter|collective-)"),
  (TRANSFER, r"memcpy(H2D|D2H)|infeed|outfeed"),
  (MATMUL, r"gemm|cublas|cutlass|xmma|matmul|^dot|^convolution|\$conv"),
  (COPY, r"memcpy|memset|^copy|^transpose|^slice"),
)
_LINE = re.compile(r"^\s*(?:ROOT )?%?(\S+) = (?:\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_HEADER = re.compile(r"^(?:ENTRY )?%?(\S+) \(.*\{$")


@dataclasses.dataclass(frozen=True)
class Instruction:
  """The `kind` of an operation, and the `part` of the model it is from."""

  kind: str
  part: str


class Instructions:
  """The instructions of a compiled program by name."""

  def __init__(self, text):
    """Reads `compiled.as_text()`."""
    self._lines, self._inside = {}, {}
    for line in text.splitlines():
      header, found = _HEADER.match(line), _LINE.match(line)
      if header and not found:
        inside = self._inside.setdefault(header.group(1), [])
      elif found:
        name, opcode, rest = found.groups()
        self._lines[name] = opcode, rest
        inside.append(name)

  def __getitem__(self, name):
    opcode, rest = self._lines.get(name, ("", name))
    return Instruction(self._kind(name), _part(rest) if opcode else "others")

  def _kind(self, name):
    opcode, rest = self._lines.get(name, ("custom-call", name))
    if opcode in ("fusion", "call", "async-start"):
      called = re.search(r"(?:calls|to_apply)=%?([^\s,]+)", rest).group(1)
      kinds = {self._kind(inner) for inner in self._inside.get(called, ())}
      # One matrix product outweighs all that is fused to it.
      order = (COLLECTIVE, MATMUL, TRANSFER, REST)
      return next((kind for kind in order if kind in kinds), COPY)
    if opcode == "custom-call":
      target = re.search(r'custom_call_target="([^"]*)"', rest)
      return _by_name(target.group(1) if target else name)
    opcode = opcode.removesuffix("-start").removesuffix("-done")
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
  control = {"while", "body", "cond", "closed_call", "checkpoint"}
  control |= {"rematted_computation", "branch_0_fun", "branch_1_fun"}
  names = [name for name in names if name not in control][:3]
  if not names:
    return "loss and others" + " (backward)" * backward
  return "/".join(names) + " (backward)" * backward
