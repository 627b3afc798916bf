"""Several processes train one model, stop together and take over."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from ports import free_port
from test_batches import batches, digests, take
from tiny import Batches, run_config, train
from tokens import write_tokens

from data_pipelines.shards import open_dataset
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.training.sharding import MeshConfig

TESTS = pathlib.Path(__file__).parent


def start(commands, cwd, **environment):
  """Starts processes that see tests and project."""
  paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
  return [
    subprocess.Popen(
      [sys.executable, *map(str, command)],
      cwd=cwd,
      env=os.environ | {"PYTHONPATH": paths} | environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for command in commands
  ]


def finish(running, meanwhile=lambda: None):
  """[(exit status, output)] of processes."""
  try:
    meanwhile()
    outputs = [process.communicate(timeout=300)[0] for process in running]
  finally:
    for process in running:
      process.kill()
  return [(p.returncode, o) for p, o in zip(running, outputs, strict=True)]


def start_many(count, workdir, *options):
  port = free_port()
  return start(
    [
      ["one_of_many.py", port, rank, count, workdir, *options]
      for rank in range(count)
    ],
    TESTS,
  )


def run_processes(count, workdir, *options):
  ended = finish(start_many(count, workdir, *options))
  assert [status for status, _ in ended] == [0] * count, ended


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
  run_processes(2, one, "resize")
  np.testing.assert_allclose(losses(one), expected, rtol=1e-5)


def test_a_bad_row_of_one_process_is_one_skip_of_all(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"

  class Poisoned(Batches):
    def batch(self, step):
      batch = super().batch(step)
      if step == 6:
        batch["x_BF"][-1, 0] = np.nan
      return batch

  train(one, run_config(mesh=MeshConfig(-1, 2, 1)), batches=Poisoned())
  run_processes(2, two, "poison")
  np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)
  for workdir in (one, two):
    skipped = json.loads((workdir / "skipped.jsonl").read_text())
    assert (skipped["step"], skipped["reason"]) == (7, "not finite")


def test_a_directory_that_is_not_shared_is_refused(tmp_path):
  ended = finish(start_many(2, tmp_path / "run", "apart"))
  for status, output in ended:
    assert status == 2, output
    assert "another directory on process 1 than on process 0" in output
  assert not list(tmp_path.glob("run*/*")), "nothing is left"


def test_four_processes_stop_together_and_two_take_over(tmp_path):
  workdir = tmp_path / "run"
  tokens = write_tokens(tmp_path / "tokens")
  running = start_many(4, workdir, "slow", "rows")

  def stop_one():
    while not (workdir / "metrics.jsonl").exists() or not losses(workdir):
      assert all(p.poll() is None for p in running), finish(running)
      time.sleep(0.05)
    running[2].send_signal(signal.SIGTERM)

  ended = finish(running, stop_one)
  assert [status for status, _ in ended] == [143] * 4, ended
  said = [re.search(r"saved step (\d+)", output) for _, output in ended]
  assert len({match[1] for match in said}) == 1, ended
  step = int(said[0][1])
  assert load_ema(workdir)[0] == step
  assert all("served: SIGTERM" in output for _, output in ended)
  assert "on process 2" in ended[0][1] and "on process" not in ended[2][1]

  alone = batches(open_dataset(tokens, "tokens"), 8)
  rows = [json.loads(re.search("rows (.*)", out)[1]) for _, out in ended]
  for at, batch in enumerate(take(alone, 0, 3)):
    together = [row for of_one in rows for row in of_one[at]]
    assert together == digests(batch)
    assert len(set(together)) == 8

  whole = tmp_path / "whole"
  train(whole, run_config(steps=STEPS, save_every=50))
  run_processes(2, workdir, "slow", "resize")
  np.testing.assert_allclose(losses(workdir), losses(whole), rtol=1e-5)
  assert load_ema(workdir)[0] == STEPS


# As in one_of_many.py.
STEPS = 80
