"""Rooflines against numbers that can be worked out by hand."""

import dataclasses
import types

import numpy as np
import pytest

from eartalk_jax.aot.roofline import roofline
from eartalk_jax.aot.topology import Topology
from eartalk_jax.hlo import module as hlo
from eartalk_jax.telemetry.hardware import Chip

# Two slices of 2 x 2 that close no ring: 4 byte/s of each axis; 100 FLOP/s, and
# 10 byte/s of memory.
_CHIP = Chip("toy", 100.0, 1000.0, 10.0, 16.0, 2, 1.0, "made up")


@dataclasses.dataclass(frozen=True)
class _Device:
  slice_index: int
  coords: tuple[int, ...]


def _topology():
  devices = tuple(
    _Device(index, (x, y, 0))
    for index in range(2)
    for x in range(2)
    for y in range(2)
  )
  return Topology("toy:2x2", _CHIP, devices, (0,) * 4 + (1,) * 4, False)


def _mesh(topology):
  """(data 2, fsdp 4): data crosses slices."""
  grid = np.empty(8, object)
  grid[:] = topology.devices
  return types.SimpleNamespace(
    devices=grid.reshape(2, 4), shape={"data": 2, "fsdp": 4}, size=8
  )


def _work(flops, moved, times=1, waits=True):
  return hlo.Work("op", "fusion", flops, moved, times, "layer", waits)


def _roofline(work=(), collectives=()):
  topology = _topology()
  program = hlo.Program(tuple(work), tuple(collectives))
  return roofline(program, topology, _mesh(topology))


def test_operations_wait_for_products_or_for_memory_one_after_another():
  found = _roofline([_work(200, 5), _work(10, 30, times=2)])
  assert found.compute == pytest.approx(2.2)
  assert found.memory == pytest.approx(6.5)
  assert found.estimate == pytest.approx(2 + 2 * 3)
  assert (found.optimistic, found.pessimistic) == pytest.approx((6.5, 8.7))
  assert found.bound_by == "memory"


def test_a_copy_beside_other_work_costs_no_time_of_its_own():
  assert _roofline([_work(200, 0), _work(0, 10, waits=False)]).estimate == 2
  # Unless there is too little to hide it behind.
  assert _roofline([_work(200, 0), _work(0, 90, waits=False)]).estimate == 9


@pytest.mark.parametrize(
  "group, ici, dcn, seconds",
  [
    # Both axes of the torus: twice 3/4 of 8 bytes, at 2 x 4 byte/s.
    ((0, 1, 2, 3), 12.0, 0.0, 1.5),
    # One axis of the two.
    ((0, 1), 8.0, 0.0, 2.0),
    # The other slice's like: nothing inside, all of it between.
    ((0, 4), 0.0, 8.0, 8.0),
    # Both: reduced inside first, a quarter crosses.
    (tuple(range(8)), 12.0, 2.0, 1.5 + 2.0),
  ],
)
def test_an_all_reduce_pays_for_the_links_it_spans(group, ici, dcn, seconds):
  found = _roofline([], [hlo.Collective("all-reduce", group, 8.0, 3, True)])
  (traffic,) = found.traffic
  assert (traffic.ici_bytes, traffic.dcn_bytes) == (3 * ici, 3 * dcn)
  assert traffic.seconds == traffic.exposed == 3 * seconds == found.estimate
  assert found.ici + found.dcn == pytest.approx(3 * seconds)
  assert found.bound_by == ("dcn" if dcn > ici / 8 else "ici")


def test_an_asynchronous_collective_hides_behind_work_as_far_as_it_goes():
  beside = hlo.Collective("all-gather", (0, 1, 2, 3), 16.0, 1, False)
  assert _roofline([_work(500, 0)], [beside]).estimate == 5
  assert _roofline([_work(50, 0)], [beside]).estimate == 1.5


def test_a_permutation_sends_what_it_holds():
  for group, ici, dcn in (((0, 1), 8.0, 0.0), ((0, 4), 0.0, 8.0)):
    moved = hlo.Collective("collective-permute", group, 8.0, 1, True)
    (traffic,) = _roofline([], [moved]).traffic
    assert (traffic.ici_bytes, traffic.dcn_bytes) == (ici, dcn)


def test_what_goes_between_slices_takes_the_slow_network():
  # Two slices: a ring of two sends everything once each way of the sum.
  found = _roofline([], [hlo.Collective("all-reduce", (), 8.0, 3, False)])
  (part,) = found.traffic
  assert part.axes == ("slices",) and part.ici_bytes == 0
  assert part.dcn_bytes == found.dcn == 3 * 8 and part.exposed == 0
  assert found.estimate == 24 and found.bound_by == "dcn"
  # A permutation is no sum.
  found = _roofline([], [hlo.Collective("one-to-one", (), 8.0, 3, False)])
  assert found.dcn == 3 * 8
  found = _roofline([], [hlo.Collective("all-gather", (), 8.0, 3, False)])
  assert found.dcn == 3 * 4
