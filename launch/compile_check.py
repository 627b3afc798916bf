"""Proves before a machine is booked that a config compiles and fits it.

example:
  python -m launch.compile_check --config configs/ear_1b.py \\
    --topology v5p:4x4x4 --json proof.json

Compiles the train step, and the sampler's step for one device, on this machine
and without an accelerator, for TPUs with their own compiler (pip install
'eartalk-jax[aot]'). --slices 4 joins four such slices. A GPU cluster
(--topology h100:8x8, nodes x GPUs) is compiled by the CPU's compiler on
simulated devices: collectives are real, memory is not. Ends with status 1 if
the train step or a frame does not fit.
"""

import os

from eartalk_jax.aot.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # before jax starts

from absl import flags  # noqa: E402

from eartalk_jax.aot import compiling, report  # noqa: E402
from eartalk_jax.aot.topology import topology  # noqa: E402
from eartalk_jax.config import from_config  # noqa: E402
from eartalk_jax.errors import UserError  # noqa: E402
from eartalk_jax.files import write_json  # noqa: E402
from eartalk_jax.outputs import check_file  # noqa: E402
from eartalk_jax.telemetry.progress import working  # noqa: E402
from launch import configured  # noqa: E402
from launch.train import TrainConfig  # noqa: E402

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
  if _JSON.value:
    check_file(_JSON.value, "--json")
  config = from_config(TrainConfig, config)
  target = topology(_TOPOLOGY.value, _SLICES.value)
  with working(f"compiling the train step for {len(target.devices)} devices"):
    step = compiling.train_step(
      config.model, config.data.frames, config.run, target
    )
  numbers = report.train_report(config, step, target)
  print(report.text(numbers, "train step"), flush=True)
  with working("compiling the step of a streamed frame for one device"):
    frame = compiling.frame_step(config.model, target)
  numbers["frame"] = report.frame_report(config, frame, target)
  print(report.text(numbers["frame"], "streamed frame, one stream"))
  numbers["assumptions"] = report.assumptions(target)
  print("assumptions")
  for line in numbers["assumptions"]:
    print(f"  - {line}")
  if _JSON.value:
    write_json(_JSON.value, numbers)
  if not step.memory.fits:
    print(f"does not fit: {numbers['knob']}")
  if not frame.memory.fits:
    print("does not fit: a device cannot hold the model of one stream")
  return int(not (step.memory.fits and frame.memory.fits))


if __name__ == "__main__":
  flags.adopt_module_key_flags(configured)  # so that --help shows them
  configured.run(main, alone=True)
