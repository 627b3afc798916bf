"""Model FLOP/s, and the share of the devices' peak that they are (MFU).

  MFU = model FLOPs of a step / (devices x peak FLOP/s x seconds of a step)

Model FLOPs are those that the mathematics needs: what is computed again to
save memory does not count. Both sides of the fraction are told, so that
anybody can check it.
"""

import dataclasses

from eartalk_jax.telemetry import hardware


@dataclasses.dataclass(frozen=True)
class Utilization:
  """The fraction of one run.

  Attributes:
    flops_per_step: model FLOPs of a step, of all devices together.
    devices: how many there are.
    device_kind: as JAX calls them.
  """

  flops_per_step: float
  devices: int
  device_kind: str

  @property
  def text(self):
    """Numerator and denominator with their sources, as one line."""
    text = (
      f"{self.flops_per_step:.4g} model FLOPs a step (of matrix products, two "
      "for a multiply-add, nothing counted twice that is computed again) on "
      f"{self.devices} x {self.device_kind}"
    )
    chip = hardware.chip(self.device_kind)
    if chip is None:
      return f"{text}, whose peak is not known: no MFU"
    return (
      f"{text}; MFU is their share of {self.devices} x "
      f"{chip.peak_flops:.4g} FLOP/s ({chip.source}) x the seconds of a step, "
      "data wait included, evaluation and saving not"
    )

  def rates(self, steps, seconds, wait):
    """Metrics of a window of steps.

    Args:
      steps: how many.
      seconds: the time they took, data wait included.
      wait: of that, seconds in which the devices were idle for want of data.
    """
    per_device = self.flops_per_step * steps / self.devices
    rates = {"flops_per_second_per_device": per_device / max(seconds, 1e-9)}
    chip = hardware.chip(self.device_kind)
    if chip is not None:
      busy = max(seconds - wait, 1e-9)
      rates["mfu"] = rates["flops_per_second_per_device"] / chip.peak_flops
      rates["mfu_without_wait"] = per_device / busy / chip.peak_flops
    return rates


def rates_text(rates):
  """`rates` for a console; nothing for none."""
  if not rates:
    return ""
  text = f"  {_short(rates['flops_per_second_per_device'])}FLOP/s a device"
  if "mfu" in rates:
    text += f"  MFU {rates['mfu']:.1%}"
  return text


def _short(number):
  for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
    if number >= size:
      return f"{number / size:.3g} {letter}"
  return f"{number:.3g} "
