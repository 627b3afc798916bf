"""The trainings as several processes, on the tiny talker and tokenizer."""

import math

import jax
import numpy as np
import pytest
from frames import write_frames
from ports import free_port
from test_multihost import finish, start
from test_train import tiny_config
from test_train_tokenizer import tiny_config as tiny_tokenizer
from tokens import write_tokenizer, write_tokens

from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.config import to_dict
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.tokenizers.storing import load_tokenizer
from launch.train_tokenizer import train as train_tokenizer

CONFIG = """
import ml_collections

def get_config():
  return ml_collections.ConfigDict({config!r})
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("command")
  tokenizer = write_tokenizer(root / "tokenizer")
  write_tokens(root / "tokens", tokenizer=tokenizer.fingerprint)
  c = tiny_config(root)
  # What compiles in a short time.
  c.model.controls = []
  c.model.window, c.data.frames = 2, 3
  c.run.optimizer.matrices = "adam"
  (root / "train.py").write_text(CONFIG.format(config=to_dict(c)))
  return root


def launch(
  root, workdir, processes, come, more=lambda process: (), what="train"
):
  """Runs a command as the processes that come; [(exit status, output)]."""
  port = free_port()
  commands = [
    [
      "-m",
      f"launch.{what}",
      f"--config={root}/{what}.py",
      f"--workdir={workdir}",
      f"--coordinator=localhost:{port}",
      f"--processes={processes}",
      f"--process={process}",
      *more(process),
    ]
    for process in come
  ]
  running = start(
    commands,
    root,
    JAX_PLATFORMS="cpu",
    JAX_NUM_CPU_DEVICES="1",
  )
  return finish(running)


def test_two_processes_train(root, tmp_path):
  workdir = tmp_path / "run"
  ended = launch(root, workdir, 2, [0, 1])
  assert [status for status, _ in ended] == [0, 0], ended
  for process, (_, output) in enumerate(ended):
    (line,) = [x for x in output.splitlines() if x.startswith("process ")]
    assert f"process {process} (" in line and "1 x cpu" in line
    assert {"jax", "config", "data", "python"} <= set(line.split())
  lines = read_metrics(workdir)
  assert [line["step"] for line in lines] == [1, 2, 3, 4]
  assert all(math.isfinite(line["loss"]) for line in lines)
  assert load_ema(workdir)[0] == 4


def test_who_is_missing_is_named_and_nothing_is_written(root, tmp_path):
  workdir = tmp_path / "run"
  ended = launch(root, workdir, 3, [0, 1], lambda _: ["--join_timeout=12"])
  for status, output in ended:
    assert status == 2, output
    assert "error: process 2 of 3 did not come within 12 s" in output
    assert "Traceback" not in output
  assert not workdir.exists()


def test_another_configuration_is_named_and_nothing_is_written(root, tmp_path):
  workdir = tmp_path / "run"
  ended = launch(
    root, workdir, 2, [0, 1], lambda process: [f"--config.run.seed={process}"]
  )
  for status, output in ended:
    assert status == 2, output
    assert "process 1 (" in output and "has config " in output
    assert "Traceback" not in output
  assert not workdir.exists()


def test_two_processes_make_the_tokenizer_of_one(root, tmp_path):
  write_frames(tmp_path / "frames", [[5] * 6])
  write_frames(tmp_path / "held_out", [[5] * 2])
  c = tiny_tokenizer(tmp_path, steps=3)
  c.run.update(log_every=1, diagnose_every=3, save_every=3)
  c.statistics_pictures = 40
  (root / "train_tokenizer.py").write_text(CONFIG.format(config=to_dict(c)))
  two, one = tmp_path / "two", tmp_path / "one"
  ended = launch(root, two, 2, [0, 1], what="train_tokenizer")
  assert [status for status, _ in ended] == [0, 0], ended
  said = ["held-out PSNR" in output for _, output in ended]
  assert said == [True, False], ended
  train_tokenizer(c, one)
  for a, b in zip(read_metrics(two), read_metrics(one), strict=True):
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
  made, expected = (load_tokenizer(x / "tokenizer") for x in (two, one))
  np.testing.assert_allclose(made.mean_C, expected.mean_C, atol=1e-5)
  np.testing.assert_allclose(made.std, expected.std, rtol=1e-4)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    made.params,
    expected.params,
  )
