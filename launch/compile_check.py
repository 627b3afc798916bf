"""Proves that a config compiles and fits, before booking.

example:
  python -m launch.compile_check --config configs/ear_1b.py \\
    --topology v5p:4x4x4 --json proof.json

Compiles the train step, and the sampler's step for one device, on this machine
and without an accelerator, for TPUs with their own compiler (pip install
'eartalk-jax[aot]'). --slices 4 joins four such slices. A GPU cluster
(--topology h100:8x8, nodes x GPUs) is compiled by the CPU's compiler on
simulated devices: collectives are real, memory is not. Ends with status 1 if
the train step or a frame does not fit, and with 2 if that is not known: a
mistake, or a compiler that crashed, whose last word is told.
"""

import contextlib
import os

from eartalk_jax.aot.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # before jax starts

from absl import flags  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from eartalk_jax.aot import report  # noqa: E402
from eartalk_jax.aot.proof import proof  # noqa: E402
from eartalk_jax.config import from_config  # noqa: E402
from eartalk_jax.errors import UserError  # noqa: E402
from eartalk_jax.files import write_json  # noqa: E402
from eartalk_jax.outputs import check_file  # noqa: E402
from eartalk_jax.telemetry.progress import working  # noqa: E402
from eartalk_jax.training.train_config import TrainConfig  # noqa: E402
from launch import configured  # noqa: E402

_TOPOLOGY = flags.DEFINE_string(
  "topology", None, "CHIP:SIZES, such as v5p:4x4x4 or h100:8x8."
)
_SLICES = flags.DEFINE_integer(
  "slices",
  1,
  "TPU slices of that topology.",
  lower_bound=1,
  upper_bound=4096,
)
_JSON = flags.DEFINE_string("json", None, "File that gets the numbers.")


def main(config, workdir):
  """The command; returns its exit status."""
  del workdir  # nothing is kept
  if _TOPOLOGY.value is None:
    raise UserError("--topology is needed; see --help")
  config = from_config(TrainConfig, config)
  if _JSON.value is not None:
    read = config_flags.get_config_filename(flags.FLAGS["config"])
    check_file(_JSON.value, "--json", [read])
  parts = proof(config, _TOPOLOGY.value, _SLICES.value)
  with contextlib.closing(parts):
    numbers = _tell(parts)
  if _JSON.value is not None:
    write_json(_JSON.value, numbers)
  if not numbers["fits"]:
    print(f"does not fit: {numbers['knob']}")
  if not numbers["frame"]["fits"]:
    print("does not fit: a device cannot hold the model of one stream")
  return int(not (numbers["fits"] and numbers["frame"]["fits"]))


def _tell(parts):
  """Prints a proof's parts as they come; returns all of them as one report."""
  with working(f"asking the compiler for {_TOPOLOGY.value}"):
    devices = next(parts)
  with working(f"compiling the train step for {devices} devices"):
    numbers = next(parts)
  print(report.text(numbers, "train step"), flush=True)
  with working("compiling the step of a streamed frame for one device"):
    numbers["frame"] = next(parts)
  print(report.text(numbers["frame"], "streamed frame, one stream"))
  numbers["assumptions"] = next(parts)
  print("assumptions")
  for line in numbers["assumptions"]:
    print(f"  - {line}")
  return numbers


if __name__ == "__main__":
  flags.adopt_module_key_flags(configured)  # so that --help shows them
  configured.run(main, alone=True)
