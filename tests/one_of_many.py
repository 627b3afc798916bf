"""One process of several: python one_of_many.py PORT RANK COUNT WORKDIR."""

import sys

import jax

port, rank, count, workdir = sys.argv[1:]
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"localhost:{port}", int(count), int(rank))

from tiny import Batches, run_config, train  # noqa: E402

from eartalk_jax.sharding import MeshConfig  # noqa: E402


class Part(Batches):
  """The rows of this process."""

  def batch(self, step):
    rows = self.rows // jax.process_count()
    first = jax.process_index() * rows
    whole = super().batch(step)
    return {name: a[first : first + rows] for name, a in whole.items()}


run = run_config(mesh=MeshConfig(-1, 2, 1), allow_resize=True)
train(workdir, run, batches=Part())
