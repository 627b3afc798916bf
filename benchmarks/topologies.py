"""Whether every kind of TPU that is known compiles a small talker.

  python -m benchmarks.topologies [--only tpu7x:2x2x1]

To be run by hand after a change of the model, of jax or of libtpu: each kind
has a compiler of its own, and what one takes another may crash on. The talker
has the parts and the clips of configs/ear_70m.py, hears as it does, and is
narrow elsewhere. Needs pip install 'eartalk-jax[aot]' and no accelerator. Ends
with status 1 if one kind does not compile it.
"""

import os

from eartalk_jax.aot.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # before jax starts

import argparse  # noqa: E402
import time  # noqa: E402

from configs import ear_70m  # noqa: E402
from eartalk_jax.aot.proof import proof, versions  # noqa: E402
from eartalk_jax.config import from_config  # noqa: E402
from eartalk_jax.errors import UserError  # noqa: E402
from eartalk_jax.telemetry.progress import working  # noqa: E402
from eartalk_jax.training.train_config import TrainConfig  # noqa: E402

_TOPOLOGIES = ("v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1")


def small_talker():
  """TrainConfig of a small ear_70m, with one clip for each of 8 devices."""
  c = ear_70m.get_config()
  c.model.latent_shape = (8, 8, 4)
  for part in (c.model, c.model.head):
    part.width, part.depth, part.heads = 32, 1, 1
  c.run.optimizer.matrices = "adam"  # Muon's iterations take minutes
  c.run.batch_size, c.run.accumulate = 8, 1
  return from_config(TrainConfig, c)


def row(config, name):
  """(whether it compiles, its line of the table) of one topology."""
  began = time.monotonic()
  try:
    with working(f"compiling for {name}"):
      _, step, frame, _ = proof(config, name)
    told = "fits" if step["fits"] and frame["fits"] else "does not fit"
    peaks = f"{step['hbm_peak_gib']:8.2f} {frame['hbm_peak_gib']:8.2f}"
  except UserError as error:
    told, peaks = str(error), f"{'-':>8s} {'-':>8s}"
  spent = time.monotonic() - began
  return peaks[-1] != "-", f"{name:12s} {peaks} {spent:8.0f}  {told}"


def main():
  """Prints the table; returns the exit status."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    "--only", action="append", help="This topology; may be given again."
  )
  names = parser.parse_args().only or _TOPOLOGIES
  config = small_talker()
  rows = [row(config, name) for name in names]
  print(versions())
  print(f"{'topology':12s} {'step GiB':>8s} {'frame':>8s} {'seconds':>8s}")
  print("\n".join(line for _, line in rows))
  return int(not all(compiles for compiles, _ in rows))


if __name__ == "__main__":
  raise SystemExit(main())
