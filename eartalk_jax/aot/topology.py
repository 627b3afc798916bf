"""Machines by name, none of them here: v5p:4x4x4, h100:8x8."""

import dataclasses
import importlib.util
import math
import os
import re

import jax
import numpy as np
from jax.experimental import topologies

from eartalk_jax.aot.environment import ENVIRONMENT
from eartalk_jax.errors import UserError
from eartalk_jax.telemetry import hardware

_TPUS = ("v4", "v5e", "v5p", "v6e", "tpu7x")
_GPUS = ("a100", "h100", "h200", "b200")
_KNOWN = (
  "known are v5e:AxB, v6e:AxB (2-D, up to 16x16), v4:AxBxC, v5p:AxBxC, "
  "tpu7x:AxBxC (3-D; v5p:4x4x4 has 64 chips) and NODESxGPUS of "
  f"{', '.join(_GPUS)} (h100:8x8)"
)
# The most chips that a slice of them can have.
_LARGEST = {"v4": 4096, "v5e": 256, "v6e": 256, "v5p": 6144, "tpu7x": 9216}
# What one process can simulate, and what slices can have together.
_MOST_GPUS, _MOST_CHIPS = 4096, 100_000
# Both cores of a chip are one device, as on the machines themselves.
_JOINED = {"v4": {"chip_config_name": "megacore"}}


@dataclasses.dataclass(frozen=True)
class Topology:
  """Devices to compile for.

  Attributes:
    name: as asked for.
    chip: hardware.Chip of each device.
    devices: what JAX compiles for; simulated CPU devices for a GPU.
    domains: of each device the number of its slice or node: inside of one is
      the fast network.
    simulated: the compiler is not that of the named chip.
  """

  name: str
  chip: hardware.Chip
  devices: tuple
  domains: tuple[int, ...]
  simulated: bool

  def links(self, group):
    """Closed rings that a group of device numbers, in one domain, can use.

    One for each axis of the torus that it spans; a row without wrap-around, or
    a part of one, is half a ring. 1 in a switched network.
    """
    if self.chip.ici_axes == 1:
      return 1
    every = np.array([device.coords for device in self.devices])
    spanned = np.array([self.devices[index].coords for index in group])
    rings = 0.0
    for places, side in zip(spanned.T, every.max(axis=0) + 1, strict=True):
      if len(set(places)) > 1:
        wraps = side % 4 == 0 if self.chip.ici_axes == 3 else side == 16
        rings += 1 if wraps and len(set(places)) == side else 0.5
    # Two cores of one chip differ in nothing; they still have a link.
    return rings or 0.5


def topology(name, slices=1):
  """The Topology of that name.

  Args:
    name: CHIP:SIZES.
    slices: TPU slices of it, joined by the data centre's network.

  Raises:
    UserError: nobody makes such a machine, or libtpu is not installed.
  """
  match = re.fullmatch(r"(\w+):([0-9]{1,5}(?:x[0-9]{1,5})*)", name)
  if match is None or match.group(1) not in _TPUS + _GPUS:
    raise UserError(f"--topology {name!r}: {_KNOWN}")
  kind = match.group(1)
  sizes = tuple(map(int, match.group(2).split("x")))
  chip = hardware.chip_named(kind)
  axes = chip.ici_axes if kind in _TPUS else 2
  if len(sizes) != axes or min(sizes) < 1 or slices < 1:
    raise UserError(f"--topology {name!r} --slices {slices}: {_KNOWN}")
  if kind in _TPUS:
    return _tpu(name, chip, sizes, slices)
  if slices > 1:
    raise UserError("--slices is for TPUs; NODESxGPUS has the nodes")
  return _gpu(name, chip, *sizes)


def _tpu(name, chip, sizes, slices):
  if math.prod(sizes) > _LARGEST[chip.name]:
    raise UserError(
      f"--topology {name!r}: a slice of {chip.name} has up to "
      f"{_LARGEST[chip.name]} chips; use --slices"
    )
  if math.prod(sizes) * slices > _MOST_CHIPS:
    raise UserError(f"--slices {slices}: up to {_MOST_CHIPS} chips in all")
  if not ENVIRONMENT.items() <= os.environ.items():
    raise RuntimeError("aot.environment must be set before jax starts")
  if importlib.util.find_spec("libtpu") is None:
    raise UserError(
      "compiling for a TPU needs its compiler: pip install 'eartalk-jax[aot]'"
    )
  more = dict(_JOINED.get(chip.name, {}))
  if slices > 1:
    more["num_slices"] = slices
  try:
    found = topologies.get_topology_desc(
      platform="tpu", topology_name=name, **more
    )
  except jax.errors.JaxRuntimeError as error:
    reason = str(error).strip().splitlines()[0]
    raise UserError(f"--topology {name!r}: {reason}; {_KNOWN}") from error
  devices = tuple(found.devices)
  domains = tuple(getattr(device, "slice_index", 0) for device in devices)
  return Topology(name, chip, devices, domains, simulated=False)


def _gpu(name, chip, nodes, per_node):
  count = nodes * per_node
  if count > _MOST_GPUS:
    raise UserError(
      f"--topology {name!r}: up to {_MOST_GPUS} devices can be simulated"
    )
  jax.config.update("jax_num_cpu_devices", count)
  devices = tuple(jax.devices("cpu"))
  if len(devices) != count:
    raise UserError(
      f"--topology {name!r} needs {count} simulated devices and found "
      f"{len(devices)}; unset XLA_FLAGS"
    )
  domains = tuple(index // per_node for index in range(count))
  return Topology(name, chip, devices, domains, simulated=True)
