"""From what a program does to the seconds it takes at best.

A device runs one operation at a time, so an operation that waits for memory is
not made up for by one that waits for its multipliers: the estimate adds up, for
every operation, the longer of the two, and every collective that the compiler
did not run beside something else.
"""

import collections
import dataclasses

from eartalk_jax.hlo.groups import axes

ASSUMPTIONS = (
  "every operation reaches the chip's peak, FLOP/s or bytes/s, whichever it "
  "waits for; neither vector units nor latencies cost anything; a product in "
  "the digits of float32 takes six passes, one that was not asked for them one",
  "a Pallas kernel computes every square of pairs that has a visible one, "
  "and skips the others for nothing",
  "operations follow one another; copies that the compiler starts ahead and "
  "asynchronous collectives are hidden behind them as far as they go",
  "a collective uses all links of the torus axes it spans (half of them where "
  "no ring closes) and has them alone; between slices it is hierarchical",
  "no time for input, logging, evaluation or checkpoints",
)


@dataclasses.dataclass(frozen=True)
class Traffic:
  """What all collectives of one kind along the same axes send.

  Attributes:
    kind: all-reduce, ...
    axes: of the mesh.
    count: how many run in a step.
    ici_bytes, dcn_bytes: sent by a device, inside of its slice and beyond.
    seconds: of the step, at the network's full speed.
    exposed: seconds of those that nothing else runs beside.
  """

  kind: str
  axes: tuple[str, ...]
  count: int
  ici_bytes: float
  dcn_bytes: float
  seconds: float
  exposed: float


@dataclasses.dataclass(frozen=True)
class Roofline:
  """Seconds of a step, each as if the others took none.

  Attributes:
    compute, memory, ici, dcn: of products, main memory and networks.
    estimate: operation by operation, see the module.
    traffic: Traffic by kind and axes.
  """

  compute: float
  memory: float
  ici: float
  dcn: float
  estimate: float
  traffic: tuple[Traffic, ...]

  @property
  def optimistic(self):
    """All overlap perfectly: the longest alone."""
    return max(self.compute, self.memory, self.ici, self.dcn)

  @property
  def pessimistic(self):
    """Nothing overlaps."""
    return self.compute + self.memory + self.ici + self.dcn

  @property
  def bound_by(self):
    """What takes longest."""
    parts = ("compute", "memory", "ici", "dcn")
    return max(parts, key=lambda part: getattr(self, part))


def roofline(program, topology, mesh):
  """The Roofline of an `hlo.module.Program` on a mesh of a topology."""
  chip = topology.chip
  traffic = _traffic(program.collectives, topology, mesh)
  compute = program.flops / chip.peak_flops
  memory = program.bytes / chip.hbm_bytes_per_second
  serial = sum(
    max(work.flops / chip.peak_flops, work.bytes / chip.hbm_bytes_per_second)
    * work.times
    for work in program.work
    if work.waits
  )
  ici = sum(part.ici_bytes for part in traffic)
  exposed = sum(part.exposed for part in traffic)
  whole = sum(part.seconds for part in traffic)
  dcn = sum(part.dcn_bytes for part in traffic) / chip.dcn_bytes_per_second
  ici_seconds = whole - dcn if ici else 0.0
  # What runs beside the rest must still fit into it.
  estimate = max(serial + exposed, memory, whole)
  return Roofline(compute, memory, ici_seconds, dcn, estimate, traffic)


def _traffic(collectives, topology, mesh):
  devices = list(mesh.devices.ravel())
  number = {device: index for index, device in enumerate(topology.devices)}
  totals = collections.defaultdict(lambda: [0, 0.0, 0.0, 0.0, 0.0])
  for collective in collectives:
    if collective.group:
      along = axes(list(collective.group), dict(mesh.shape))
      group = [number[devices[index]] for index in collective.group]
      ici, dcn, seconds = _seconds(collective, group, topology)
    else:
      along, ici = ("slices",), 0.0
      dcn = _sent(collective, len(set(topology.domains)))
      seconds = dcn / topology.chip.dcn_bytes_per_second
    total = totals[collective.kind, along]
    exposed = seconds if collective.waits else 0.0
    for index, value in enumerate((1, ici, dcn, seconds, exposed)):
      total[index] += value * collective.times
  return tuple(
    Traffic(kind, along, *total) for (kind, along), total in totals.items()
  )


def _sent(collective, count):
  """Bytes that one of `count` sends, in the ring form."""
  if collective.kind in ("collective-permute", "one-to-one"):
    return collective.payload
  factor = 2 if collective.kind == "all-reduce" else 1
  return factor * collective.payload * (count - 1) / count


def _seconds(collective, group, topology):
  """(bytes inside of slices, bytes between, seconds) of one collective.

  What crosses slices goes there once reduced, or not yet gathered, within.
  """
  chip = topology.chip
  domains = [topology.domains[index] for index in group]
  inside = [
    index
    for index, domain in zip(group, domains, strict=True)
    if domain == domains[0]
  ]
  count, slices = len(inside), len(set(domains))
  if collective.kind == "collective-permute":
    ici, dcn = (_sent(collective, count), 0.0)[:: 1 if slices == 1 else -1]
  else:
    ici = _sent(collective, count)
    dcn = _sent(collective, slices) / count
  fast = chip.ici_bytes_per_second / chip.ici_axes * topology.links(inside)
  return ici, dcn, ici / fast + dcn / chip.dcn_bytes_per_second
