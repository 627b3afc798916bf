"""A run survives anything; a checkpoint is never mistaken for another's."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from slow_run import config
from tiny import Batches, init_params, run_config, train

from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.checkpoints.claim import Claim
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import OptimizerConfig
from eartalk_jax.telemetry.metrics import read_metrics

TESTS = pathlib.Path(__file__).parent


def assert_bitwise(one, other):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def start(workdir):
  return subprocess.Popen(
    [sys.executable, "slow_run.py", str(workdir)],
    cwd=TESTS,
    env=os.environ | {"PYTHONPATH": str(TESTS.parent)},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_for_step(workdir, step, process):
  while not any(line["step"] >= step for line in read_metrics(workdir)):
    assert process.poll() is None, process.stderr.read()
    time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole")
  return train(workdir, config()), read_metrics(workdir)


def assert_same_run(workdir, whole):
  """The same bits, and each line of the curves once."""
  assert_bitwise(train(workdir, config()), whole[0])
  lines = read_metrics(workdir)
  assert [line["step"] for line in lines] == [line["step"] for line in whole[1]]
  return lines


@pytest.mark.parametrize(
  "number, status", [(signal.SIGTERM, 143), (signal.SIGINT, None)]
)
def test_a_signal_saves_between_two_steps(tmp_path, whole, number, status):
  process = start(tmp_path)
  wait_for_step(tmp_path, 9, process)
  process.send_signal(number)
  _, errors = process.communicate(timeout=60)
  assert "saved step" in errors and "run the same command" in errors
  if status is None:  # python's own way of ending by Ctrl-C
    assert process.returncode in (-signal.SIGINT, 130)
  else:
    assert process.returncode == status
  step, _ = load_ema(tmp_path)
  assert step < config().steps
  assert read_metrics(tmp_path)[-1]["step"] <= step
  assert_same_run(tmp_path, whole)


def test_only_the_newest_checkpoints_are_kept(tmp_path):
  train(tmp_path, run_config(save_every=3, keep=2))
  names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
  assert names == {"9", "12"}


def test_ema_is_read_alone_and_checked(tmp_path):
  state = train(tmp_path)
  shapes = jax.eval_shape(init_params, jax.random.key(0))
  step, params = load_ema(tmp_path, shapes)
  assert step == 12
  assert_bitwise(params, state.ema)
  for item in ("state", "data"):  # inference needs neither
    shutil.rmtree(tmp_path / "checkpoints" / "12" / item)
  _, alone = load_ema(tmp_path)
  assert_bitwise(alone, state.ema)
  shapes["up"]["kernel"] = jax.ShapeDtypeStruct((5, 16), np.float32)
  with pytest.raises(UserError, match=r"up/kernel was '\(4, 16\)'"):
    load_ema(tmp_path, shapes)


def test_no_checkpoint_is_a_named_error(tmp_path):
  with pytest.raises(UserError, match="no checkpoint in .*train first"):
    load_ema(tmp_path / "nothing")
  assert not (tmp_path / "nothing").exists()


def test_another_configuration_is_refused_by_the_key_that_differs(tmp_path):
  train(tmp_path, run_config(steps=2))
  optimizer = OptimizerConfig(peak_lr=2e-2, warmup_steps=5, weight_decay=0.1)
  with pytest.raises(UserError, match="optimizer.peak_lr was 0.01 and is now"):
    train(tmp_path, run_config(steps=2, optimizer=optimizer))
  with pytest.raises(UserError, match="data.seed was 0 and is now 1"):
    train(tmp_path, run_config(steps=2), batches=Batches(seed=1))
  with pytest.raises(UserError, match="model was 'regression' and is now 'x'"):
    train(tmp_path, run_config(steps=2), fingerprint={"model": "x"})
  train(tmp_path, run_config(steps=2, log_every=7, keep=9))  # these may


def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(tmp_path):
  whole = train(tmp_path)
  for path in (tmp_path / "checkpoints" / "12").rglob("*"):
    if path.is_file() and "ocdbt" in str(path):
      path.write_bytes(b"")
  with pytest.raises(UserError, match="12 is damaged: ema/.* 0 bytes.*step 10"):
    train(tmp_path)
  shutil.rmtree(tmp_path / "checkpoints" / "12")
  assert_bitwise(train(tmp_path), whole)
  steps = [line["step"] for line in read_metrics(tmp_path)]
  assert steps == [2, 4, 6, 8, 10, 12]


def test_a_config_may_change_until_there_is_a_checkpoint(tmp_path):
  for width in (1, 2):
    claim = Claim({"model": {"width": width}, "place": "a"})
    claim.check(tmp_path)
    claim.write(tmp_path)
  train(tmp_path, run_config(steps=2), claim=claim)
  claim = Claim({"model": {"width": 2}, "place": "b"}, ("place",))
  train(tmp_path, run_config(steps=2), claim=claim)
  assert read_json(tmp_path / "config.json")["place"] == "b"
  with pytest.raises(UserError, match="model.width was 2 and is now 3"):
    Claim({"model": {"width": 3}, "place": "b"}).check(tmp_path)


def test_saving_leaves_no_threads(tmp_path):
  before = threading.active_count()
  train(tmp_path, run_config(steps=20, save_every=1))
  assert threading.active_count() < before + 10


def test_another_number_of_processes_needs_consent(tmp_path, capsys):
  whole = train(tmp_path)
  shutil.rmtree(tmp_path / "checkpoints" / "12")
  saved = tmp_path / "checkpoints" / "10"
  (saved / "manifest.json").unlink()
  path = saved / "data" / "data.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"processes": 4}))
  with pytest.raises(UserError, match="with processes=4 and .*allow_resize=T"):
    train(tmp_path)
  assert_bitwise(train(tmp_path, run_config(allow_resize=True)), whole)
  assert (
    "saved with processes=4 on the mesh data 8 x" in capsys.readouterr().out
  )


def test_a_damaged_state_is_nothing_to_those_who_infer(tmp_path, caplog):
  train(tmp_path)
  caplog.clear()
  for path in (tmp_path / "checkpoints" / "12" / "state").rglob("*ocdbt"):
    if path.is_file():
      path.write_bytes(b"")
  assert load_ema(tmp_path)[0] == 12
  assert not caplog.records
