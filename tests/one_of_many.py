"""One process of several: python one_of_many.py PORT RANK COUNT WORKDIR [OPT].

Options: slow leaves a killer some time; resize goes on with another count;
rows prints digests of this process's rows of WORKDIR/../tokens; poison spoils a
row of the last process; apart gives each process a directory of its own.
"""

import json
import pathlib
import sys
import time

import jax

from eartalk_jax.processes.distributed import Membership, join
from eartalk_jax.processes.interruption import listening
from launch import cli

port, rank, count, workdir, *options = sys.argv[1:]
# Four devices in all, however many processes there are.
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4 // int(count))


def main():
  join(Membership(f"localhost:{port}", int(count), int(rank)), 60)
  with listening() as listener:
    listener.join()
  from tiny import Batches, run_config, train

  from eartalk_jax.training.sharding import MeshConfig, local_rows, make_mesh

  settings = {"steps": 80, "save_every": 50} if "slow" in options else {}
  run = run_config(
    mesh=MeshConfig(-1, 2, 1), allow_resize="resize" in options, **settings
  )
  rows = local_rows(run.batch_size, make_mesh(run.mesh))
  if "rows" in options:
    print_digests(rows)

  class Part(Batches):
    """The rows of this process."""

    def batch(self, step):
      whole = super().batch(step)
      if "poison" in options and step == 6:
        whole["x_BF"][-1, 0] = float("nan")
      return {name: a[rows] for name, a in whole.items()}

    def iterate(self, step):
      for batch in super().iterate(step):
        time.sleep(0.1 * ("slow" in options))
        yield batch

  own = workdir + rank * ("apart" in options)
  train(own, run, batches=Part())


def print_digests(rows):
  from test_batches import batches, digests, take

  from data_pipelines.shards import open_dataset

  tokens = open_dataset(pathlib.Path(workdir).parent / "tokens", "tokens")
  loader = batches(tokens, 8, rows=rows)
  print("rows", json.dumps([digests(batch) for batch in take(loader, 0, 3)]))


cli.run(main)
