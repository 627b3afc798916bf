"""python -m launch.train as several processes, on the tiny talker."""

import math

import pytest
from test_multihost import finish, free_port, start
from test_train import tiny_config
from tokens import write_tokenizer, write_tokens

from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.config import to_dict
from eartalk_jax.telemetry.metrics import read_metrics

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
  (root / "config.py").write_text(CONFIG.format(config=to_dict(c)))
  return root


def launch(root, workdir, processes, come, more=lambda process: ()):
  """Runs the command as the processes that come; [(exit status, output)]."""
  port = free_port()
  commands = [
    [
      "-m",
      "launch.train",
      f"--config={root}/config.py",
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
    # Compiled in half the time.
    XLA_FLAGS="--xla_backend_optimization_level=0",
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
  ended = launch(root, workdir, 3, [0, 1], lambda _: ["--join_timeout=20"])
  for status, output in ended:
    assert status == 2, output
    assert "error: process 2 of 3 did not come within 20 s" in output
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
