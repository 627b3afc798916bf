"""Several processes train one model, and go on where one process stopped."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys

import numpy as np
from tiny import run_config, train

from eartalk_jax.checkpoint_reading import load_ema
from eartalk_jax.metrics import read_metrics
from eartalk_jax.sharding import MeshConfig

TESTS = pathlib.Path(__file__).parent


def run_processes(count, workdir):
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  running = [
    subprocess.Popen(
      [
        sys.executable,
        "one_of_many.py",
        str(port),
        str(i),
        str(count),
        workdir,
      ],
      cwd=TESTS,
      env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(count)
  ]
  try:
    outputs = [process.communicate(timeout=240)[0] for process in running]
  finally:
    for process in running:
      process.kill()
  assert [process.returncode for process in running] == [0] * count, outputs


def losses(workdir):
  return [line["loss"] for line in read_metrics(workdir)]


def test_two_processes_give_the_losses_of_one_and_take_over(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  train(one, run_config(mesh=MeshConfig(-1, 2, 1)))
  run_processes(2, two)
  np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)
  assert load_ema(two)[0] == 12

  # Back to step 10, saved by one process: two go on from there.
  shutil.rmtree(one / "checkpoints" / "12")
  expected = losses(one)
  run_processes(2, one)
  np.testing.assert_allclose(losses(one), expected, rtol=1e-5)
