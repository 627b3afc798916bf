"""Which operations a profiler trace holds, and how long each took itself."""

import collections
import dataclasses

from jax.profiler import ProfileData


@dataclasses.dataclass(frozen=True)
class Operation:
  """One execution of one instruction on one device; times in ns.

  Attributes:
    name: of the instruction in the compiled program, or of a GPU's kernel.
    device: any name.
    lane: the thread or stream; on one lane operations nest or follow.
  """

  name: str
  device: str
  lane: str
  begin: float
  end: float


def read_trace(path):
  """The Operations in an .xplane.pb file."""
  return operations(ProfileData.from_file(str(path)).planes)


def operations(planes):
  """The Operations in the planes of a ProfileData."""
  found = []
  for plane in planes:
    for line in plane.lines:
      if plane.name.startswith("/device:TPU"):
        # The other lines of a TPU show the same time once more.
        wanted = line.name == "XLA Ops"
      elif plane.name.startswith("/device:"):
        wanted = line.name.startswith("Stream")
      else:
        wanted = plane.name == "/host:CPU"  # a CPU's threads are devices
      if wanted:
        found += _of_line(plane.name, line)
  return found


def self_times(found):
  """(Operation, ns in it but in no other inside of it), for each."""
  lanes = collections.defaultdict(list)
  for operation in found:
    lanes[operation.device, operation.lane].append(operation)
  for lane in lanes.values():
    open_ones, own = [], {}
    for operation in sorted(lane, key=lambda o: (o.begin, -o.end)):
      while open_ones and open_ones[-1].end <= operation.begin:
        open_ones.pop()
      own[id(operation)] = operation.end - operation.begin
      if open_ones:
        outer = open_ones[-1]
        covered = min(operation.end, outer.end) - operation.begin
        own[id(outer)] = max(own[id(outer)] - covered, 0)
      open_ones.append(operation)
    yield from ((operation, own[id(operation)]) for operation in lane)


def busy_time(found):
  """{device: ns during which it executed anything}."""
  devices = collections.defaultdict(list)
  for operation in found:
    devices[operation.device].append((operation.begin, operation.end))
  busy = {}
  for device, spans in devices.items():
    total, until = 0, float("-inf")
    for begin, end in sorted(spans):
      total += max(end - max(begin, until), 0)
      until = max(until, end)
    busy[device] = total
  return busy


def _of_line(plane, line):
  on_host = plane.startswith("/host")
  for event in line.events:
    stats = dict(event.stats)
    name = stats.get("hlo_op")
    if name is None:
      if on_host:
        continue  # not an operation of a program
      # A TPU gives the whole instruction as a name, a GPU the kernel's.
      name = event.name.partition(" = ")[0].lstrip("%")
    if not event.duration_ns:
      continue
    device = plane
    if on_host:
      device = f"cpu {stats.get('device_ordinal', 0)}"
    begin = event.start_ns
    yield Operation(name, device, line.name, begin, begin + event.duration_ns)
