"""Reading the text of a compiled XLA program into computations.

Only what the accounting of `hlo.py` needs: names, shapes, memory spaces,
operands and attributes. Nothing here knows what an instruction costs.
"""

import dataclasses
import functools
import math
import re

_BYTES = {
  "pred": 1,
  "s4": 0.5,
  "u4": 0.5,
  "s8": 1,
  "u8": 1,
  "s16": 2,
  "u16": 2,
  "bf16": 2,
  "f16": 2,
  "s32": 4,
  "u32": 4,
  "f32": 4,
  "s64": 8,
  "u64": 8,
  "f64": 8,
  "c64": 8,
  "c128": 16,
}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](\{[^{}]*\})?")
_HEADER = re.compile(r"^(ENTRY )?%?(\S+) \(.*\) -> .* \{$")
# A computation of another core says so behind its end.
_END = re.compile(r'^\}(, execution_thread="[^"]*")?$')
_NAME = re.compile(r"^\s*(ROOT )?%?(\S+) = ")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_COMMENT = re.compile(r"/\*.*?\*/")


@dataclasses.dataclass(frozen=True)
class Array:
  """An array of an instruction's result.

  Attributes:
    kind: its element type, as XLA calls it.
    shape: its sizes.
    space: memory space; 0 is the device's main memory (HBM).
  """

  kind: str
  shape: tuple[int, ...]
  space: int

  @property
  def bytes(self):
    """Without the padding of its tiles."""
    return math.prod(self.shape) * _BYTES.get(self.kind, 1)

  @property
  def main_bytes(self):
    """The same where it lies in main memory, else 0."""
    return 0 if self.space else self.bytes


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line.

  Attributes:
    name, opcode: as written.
    result: its Arrays; several of a tuple, which is flattened.
    operands: names of instructions of the same computation.
    rest: the attributes, unparsed.
    root: whether the computation returns it.
  """

  name: str
  opcode: str
  result: tuple[Array, ...]
  operands: tuple[str, ...]
  rest: str
  root: bool

  def attribute(self, name):
    """A plain attribute's text; None if it is not there."""
    found = re.search(rf"\b{name}=%?([^\s,{{}}]+)", self.rest)
    return found.group(1) if found else None


def parse(text):
  """({computation: {name: Instruction}}, name of the entry computation)."""
  computations, entry, current = {}, None, None
  for line in _whole_lines(text):
    if current is None:
      header = _HEADER.match(line)
      if header:
        current = computations.setdefault(header.group(2), {})
        entry = header.group(2) if header.group(1) else entry
    elif _END.match(line):
      current = None
    else:
      instruction = _instruction(line)
      if instruction is not None:
        current[instruction.name] = instruction
  if entry is None:
    raise ValueError("this is not the text of a compiled program")
  return computations, entry


def _whole_lines(text):
  """The lines; one that a kernel's own attributes broke is put together."""
  whole = None
  for line in text.splitlines():
    if whole is not None and not (_END.match(line) or _NAME.match(line)):
      whole += line
      continue
    if whole is not None:
      yield whole
      whole = None
    if _NAME.match(line):
      whole = line
    else:
      yield line


def root(computation):
  """The instruction that a computation returns."""
  return next(i for i in computation.values() if i.root)


def _instruction(line):
  name = _NAME.match(line)
  if name is None:
    return None
  line = _COMMENT.sub("", line[name.end() :])
  # The type of a tuple holds brackets of its own.
  end = _closing(line, 0) + 1 if line.startswith("(") else line.find(" ")
  opcode = _OPCODE.match(line, end)
  if opcode is None:
    return None
  close = _closing(line, opcode.end() - 1)
  inside = line[opcode.end() : close]
  return Instruction(
    name.group(2),
    opcode.group(1),
    _arrays(line[:end]),
    tuple(re.findall(r"%([^\s,()]+)", inside)) or (inside,) * bool(inside),
    line[close + 1 :],
    bool(name.group(1)),
  )


def _closing(line, start):
  """Index of the bracket that closes the one at `start`."""
  depth = 0
  for index in range(start, len(line)):
    if line[index] == "(":
      depth += 1
    elif line[index] == ")":
      depth -= 1
      if depth == 0:
        return index
  raise ValueError(f"unbalanced brackets: {line[:80]}")


@functools.cache
def _arrays(text):
  arrays = []
  for kind, sizes, layout in _ARRAY.findall(text):
    space = re.search(r"S\((\d+)\)", layout)
    shape = tuple(map(int, sizes.split(","))) if sizes else ()
    arrays.append(Array(kind, shape, int(space.group(1)) if space else 0))
  return tuple(arrays)
