"""What a compiled program does: FLOPs, bytes and collectives, loops unrolled.

XLA's own `cost_analysis` counts the body of a loop once, so a model whose
layers are scanned looks as cheap as one layer. Here every instruction counts
as often as its loops turn.
"""

import collections
import dataclasses
import functools
import re

from eartalk_jax.hlo import text as hlo_text
from eartalk_jax.hlo.convolutions import product_flops
from eartalk_jax.hlo.groups import groups

COLLECTIVES = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
  "collective-broadcast",
  "ragged-all-to-all",
)
# They move no bytes: names for what is there already, or done elsewhere.
_FREE = {
  "parameter",
  "constant",
  "tuple",
  "get-tuple-element",
  "bitcast",
  "after-all",
  "partition-id",
  "replica-id",
  "opt-barrier",
  "while",
  "conditional",
  "call",
}
# How collectives between TPU slices are told from other transfers.
_MEGASCALE = "_xla_megascale_transfer_type="
_SLICES = {"dynamic-slice", "slice", "gather"}


@dataclasses.dataclass(frozen=True)
class Work:
  """One instruction, `times` times: what one device does.

  Attributes:
    name, opcode: of the instruction.
    flops: of matrix products and convolutions.
    bytes: to and from main memory.
    times: turns of the loops around it.
    source: where in the model it comes from.
    waits: False if it is a transfer that goes on beside other instructions.
  """

  name: str
  opcode: str
  flops: float
  bytes: float
  times: int
  source: str
  waits: bool


@dataclasses.dataclass(frozen=True)
class Collective:
  """One collective, `times` times.

  Attributes:
    kind: all-reduce, ...
    group: device numbers of the first group; () for one between TPU slices,
      which is a transfer of the host's network, of one device to its like.
    payload: bytes of the whole array, or of a device's part of a permutation.
    times: turns of the loops around it.
    waits: False if other instructions run meanwhile.
  """

  kind: str
  group: tuple[int, ...]
  payload: float
  times: int
  waits: bool

  @property
  def sent(self):
    """Bytes a device sends each time, in the ring form of each kind.

    Between slices, whose number is not known here, it is the most they can be.
    """
    share = (len(self.group) - 1) / len(self.group) if self.group else 1
    if self.kind == "collective-permute":
      return self.payload
    return self.payload * share * (2 if self.kind == "all-reduce" else 1)


@dataclasses.dataclass(frozen=True)
class Program:
  """All that a device does in one call."""

  work: tuple[Work, ...]
  collectives: tuple[Collective, ...]

  @property
  def flops(self):
    """Of matrix products and convolutions, on one device."""
    return sum(work.flops * work.times for work in self.work)

  @property
  def bytes(self):
    """To and from the main memory of one device."""
    return sum(work.bytes * work.times for work in self.work)


def analyse(text, devices, kernel_flops=0):
  """The Program in the text of a compiled executable on `devices` devices.

  `kernel_flops` are those of one device's Pallas kernels, which no text tells.
  """
  computations, entry = hlo_text.parse(text)
  program = _Reader(computations, devices).program(entry)
  if not kernel_flops:
    return program
  kernels = Work("kernels", "custom-call", kernel_flops, 0, 1, "kernels", True)
  return Program((*program.work, kernels), program.collectives)


class _Reader:
  """Walks from the entry through loops; remembers what a fusion costs."""

  def __init__(self, computations, devices):
    self._computations, self._devices = computations, devices
    self._flops_of = functools.cache(self._flops_of)
    self._work, self._collectives = [], []

  def program(self, entry):
    self._walk(entry, 1, True)
    return Program(tuple(self._work), tuple(self._collectives))

  def _walk(self, name, times, waits):
    computation = self._computations[name]
    for line in computation.values():
      called = _called(line)
      kind = line.opcode.removesuffix("-start")
      if line.opcode == "while":
        body, turns = called["body"], self._turns(line, called["condition"])
        self._walk(body, times * turns, waits)
      elif line.opcode == "conditional":
        # The skipped branch of a step is the rare one: count the longest.
        self._walk(max(called.values(), key=self._flops_of), times, waits)
      elif line.opcode in ("call", "call-start", "async-start"):
        for body in called.values():
          self._walk(body, times, waits and line.opcode == "call")
      elif line.opcode == "send" and _MEGASCALE in line.rest:
        self._send(line, times)
      elif kind in COLLECTIVES:
        self._collect(computation, line, kind, times, waits)
      else:
        self._count(computation, line, called, times, waits)

  def _turns(self, line, condition):
    """Turns of a loop: told by XLA, or where its counter from 0 must end."""
    known = re.search(r"known_trip_count\D*(\d+)", line.rest)
    if known:
      return int(known.group(1))
    computation = self._computations[condition]
    end = hlo_text.root(computation)
    if "direction=LT" in end.rest:
      limit = computation.get(end.operands[1])
      if limit is not None and limit.opcode == "constant":
        return int(limit.operands[0])
    raise ValueError(f"loop {line.name}: the number of its turns is not known")

  def _count(self, computation, line, called, times, waits):
    flops = product_flops(line, computation)
    if line.opcode == "fusion":
      flops = self._flops_of(called["calls"])
    moved = self._bytes(computation, line, called)
    if flops or moved:
      source = re.search(r'op_name="([^"]*)"', line.rest)
      source = source.group(1) if source else ""
      waits = waits and not line.opcode.endswith("-start")
      self._work.append(
        Work(line.name, line.opcode, flops, moved, times, source, waits)
      )

  def _collect(self, computation, line, kind, times, waits):
    operands = sum(a.bytes for a in _operands(computation, line))
    result = sum(a.bytes for a in line.result)
    begun = line.opcode.endswith("-start")
    if kind == "all-gather":
      # The start of one returns its operands as well.
      payload = result - operands if begun else result
    else:
      payload = operands
    group = tuple(groups(line.rest, self._devices)[0])
    self._collectives.append(
      Collective(kind, group, payload, times, waits and not begun)
    )

  def _send(self, line, times):
    """What goes between slices; sent and received beside other work."""
    told = re.search(_MEGASCALE + r'"(\w+)"', line.rest)
    kind = told.group(1).lower().replace("_", "-")
    self._collectives.append(
      Collective(kind, (), line.result[0].bytes, times, False)
    )

  def _flops_of(self, name):
    computation = self._computations[name]
    total = 0
    for line in computation.values():
      total += product_flops(line, computation)
      called = _called(line)
      if line.opcode in ("fusion", "call", "while", "conditional"):
        turns = 1
        if line.opcode == "while":
          turns = self._turns(line, called.pop("condition"))
        total += turns * sum(map(self._flops_of, called.values()))
    return total

  def _bytes(self, computation, line, called):
    """Between main memory and the device, of one instruction."""
    if line.opcode in _FREE or line.opcode.endswith(("-done", "-update")):
      return 0
    if "AllocateBuffer" in line.rest:
      return 0
    if line.opcode == "fusion":
      return self._fusion_bytes(computation, line, called["calls"])
    operands = _operands(computation, line)
    if line.opcode in _SLICES:
      return sum(a.main_bytes for a in line.result) + (
        0 if operands[0].space else sum(a.bytes for a in line.result)
      )
    if line.opcode == "dynamic-update-slice":
      return 2 * operands[1].bytes if not line.result[0].space else 0
    if line.opcode in ("copy-start", "slice-start"):
      source, result = line.result[1], line.result[0]
      smaller = min(source.bytes, result.bytes)
      return smaller * ((not source.space) + (not result.space))
    return sum(a.main_bytes for a in (*operands, *line.result))

  def _fusion_bytes(self, computation, line, name):
    """Inputs that are read and outputs that are written, slices as slices."""
    inside = self._computations[name]
    users = collections.defaultdict(list)
    for other in inside.values():
      for operand in other.operands:
        users[operand].append(other)
    total = 0
    parameters = {
      int(other.operands[0]): other
      for other in inside.values()
      if other.opcode == "parameter"
    }
    for index, operand in enumerate(line.operands):
      arrays = computation[operand].result
      if operand in computation and not any(a.space for a in arrays):
        total += _read(parameters[index], users, arrays[0].bytes)
    written = hlo_text.root(inside)
    outs = [written]
    if written.opcode == "tuple":
      outs = [inside[operand] for operand in written.operands]
    for out, array in zip(outs, line.result, strict=False):
      if not array.space:
        total += _written(out, inside, array.bytes)
    return total


def _called(line):
  """{attribute: computation} of those that an instruction runs itself."""
  found = {}
  for name in ("calls", "body", "condition", "to_apply"):
    value = line.attribute(name)
    if value is not None:
      found[name] = value
  branches = re.search(r"branch_computations=\{([^}]*)\}", line.rest)
  if branches:
    names = branches.group(1).split(",")
    found |= {str(i): n.strip(" %") for i, n in enumerate(names)}
  for name in ("true_computation", "false_computation"):
    if line.attribute(name):
      found[name] = line.attribute(name)
  return found


def _operands(computation, line):
  return [
    array
    for name in line.operands
    if name in computation
    for array in computation[name].result
  ]


def _read(parameter, users, whole):
  """Bytes that a fusion reads of one input."""
  total = 0
  for user in users[parameter.name]:
    if user.opcode == "bitcast":
      total += _read(user, users, whole)
    elif user.opcode in _SLICES and user.operands[0] == parameter.name:
      total += sum(a.bytes for a in user.result)
    elif (
      user.opcode == "dynamic-update-slice"
      and user.operands[0] == parameter.name
    ):
      continue  # in place: what is not updated is not touched
    else:
      return whole
  return min(total, whole)


def _written(out, inside, whole):
  """Bytes that a fusion writes of one output."""
  while out.opcode == "bitcast" and out.operands[0] in inside:
    out = inside[out.operands[0]]
  if out.opcode == "dynamic-update-slice":
    return min(whole, sum(a.bytes for a in inside[out.operands[1]].result))
  return whole
