"""What accelerators can do at most, by their vendors' public pages.

Every figure is that of one JAX device, in one direction where there are two,
and of dense bfloat16 products: peaks that count zeros (2:4 sparsity) are
no use to anyone who has none.
"""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Chip:
  """The limits of one JAX device.

  Attributes:
    name: as people call it; also the first half of a topology's name.
    peak_flops: dense bfloat16 FLOP/s.
    hbm_bytes: its memory.
    hbm_bytes_per_second: to and from it.
    ici_bytes_per_second: what it sends to its slice or node, over all links at
      once.
    ici_axes: axes of the torus that share those links equally; 1 for a switch,
      where any neighbour gets all of it.
    dcn_bytes_per_second: what it sends to other slices or nodes.
    source: where the figures are from.
  """

  name: str
  peak_flops: float
  hbm_bytes: float
  hbm_bytes_per_second: float
  ici_bytes_per_second: float
  ici_axes: int
  dcn_bytes_per_second: float
  source: str


_GIB = 2**30
_TPU = "Google Cloud documentation, system architecture of TPU "
_GPU = "NVIDIA data sheet, "
# The pattern is that of JAX's device_kind, all of it: an H100 on a PCIe card
# is slower than the one named here, and rather unknown than flattered.
_CHIPS = (
  (
    r"TPU v4",
    Chip("v4", 275e12, 32 * _GIB, 1.2e12, 300e9, 3, 6.25e9, _TPU + "v4"),
  ),
  (
    r"TPU v5 lite|TPU v5e",
    Chip("v5e", 197e12, 16 * _GIB, 819e9, 200e9, 2, 3.125e9, _TPU + "v5e"),
  ),
  (
    r"TPU v5|TPU v5p",
    Chip("v5p", 459e12, 95 * _GIB, 2.765e12, 600e9, 3, 6.25e9, _TPU + "v5p"),
  ),
  (
    r"TPU v6 lite|TPU v6e",
    Chip("v6e", 918e12, 32 * _GIB, 1.638e12, 400e9, 2, 12.5e9, _TPU + "v6e"),
  ),
  (
    # One chip is two devices, each with half of everything.
    r"TPU7x",
    Chip(
      "tpu7x",
      2307e12 / 2,
      192 * _GIB / 2,
      7.38e12 / 2,
      600e9 / 2,
      3,
      12.5e9 / 2,
      _TPU + "7x; a device is half a chip",
    ),
  ),
  (
    r"NVIDIA A100-SXM4-80GB",
    Chip(
      "a100", 312e12, 80e9, 2.039e12, 300e9, 1, 25e9, _GPU + "A100 80GB SXM"
    ),
  ),
  (
    r"NVIDIA H100 80GB HBM3",
    Chip("h100", 989.5e12, 80e9, 3.35e12, 450e9, 1, 50e9, _GPU + "H100 SXM"),
  ),
  (
    r"NVIDIA H200",
    Chip("h200", 989.5e12, 141e9, 4.8e12, 450e9, 1, 50e9, _GPU + "H200 SXM"),
  ),
  (
    r"NVIDIA B200",
    Chip("b200", 2.25e15, 180e9, 8e12, 900e9, 1, 50e9, _GPU + "DGX B200"),
  ),
)


def chip(device_kind):
  """The Chip of a JAX `device.device_kind`; None if it is not known."""
  for pattern, found in _CHIPS:
    if re.fullmatch(pattern, device_kind):
      return found
  return None


def chip_named(name):
  """The Chip that people call `name`, "v5p" or "h100"; None if none is."""
  return next((found for _, found in _CHIPS if found.name == name), None)


def chip_names():
  """All names that `chip_named` knows."""
  return [found.name for _, found in _CHIPS]
