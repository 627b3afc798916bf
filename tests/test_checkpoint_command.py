"""launch.checkpoint: what it says of whole, damaged and foreign folders."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from tiny import run_config, train

from eartalk_jax.errors import UserError
from launch import checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("command") / "run"
  train(workdir, run_config(save_every=4, keep=3))
  return workdir


@pytest.fixture
def workdir(trained, tmp_path):
  return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def command(monkeypatch, capsys):
  def call(*words):
    monkeypatch.setattr(sys, "argv", ["checkpoint", *map(str, words)])
    status = checkpoint.main()
    return status, capsys.readouterr().out

  return call


def test_list_says_what_counts(workdir, command):
  (workdir / "checkpoints" / "8" / "manifest.json").unlink()
  (workdir / "checkpoints" / "12" / "commit_success.txt").unlink()
  (workdir / "checkpoints" / "16.orbax-checkpoint-tmp").mkdir()
  status, out = command("list", workdir)
  lines = out.splitlines()
  assert status == 0
  assert [line.split()[0] for line in lines[1:4]] == ["4", "8", "12"]
  assert "with a manifest" in lines[1] and "no manifest" in lines[2]
  assert "not committed" in lines[3]
  assert lines[4].startswith("16.orbax-checkpoint-tmp: under way")


def test_verify_finds_nothing_in_a_copy(workdir, command):
  status, out = command("verify", workdir)
  assert status == 0
  assert out.count("every file is as it was written") == 3


def test_verify_names_the_damaged_files(workdir, command):
  folder = workdir / "checkpoints" / "8"
  (folder / "ema" / "_METADATA").unlink()
  file = next((folder / "state" / "d").iterdir())
  file.write_bytes(file.read_bytes()[:-1] + b"!")
  (folder / "data" / "data.json").write_text("{}")
  (workdir / "checkpoints" / "4" / "manifest.json").unlink()
  status, out = command("verify", workdir)
  assert status == 1
  assert "ema/_METADATA is missing" in out
  assert f"state/d/{file.name} has another content" in out
  assert "data/data.json has 2 bytes instead of" in out
  assert "4: no manifest" in out and "12: every file" in out
  assert command("verify", workdir, "--step", 12)[0] == 0


def test_inspect_shows_what_is_in_it(workdir, command):
  status, out = command("inspect", workdir)
  assert status == 0
  assert "up/kernel    float32  [4, 16]" in out
  # Two Dense, one LayerNorm; the state has them thrice, and more.
  count = 4 * 16 + 16 + 2 * 16 + 16 * 2 + 2
  assert f"parameters        {count}\n" in out
  numbers = int(re.search(r"state +(\d+) numbers", out)[1])
  assert numbers > 3 * count
  assert "data position     12 batches of 8" in out
  assert '"peak_lr": 0.01' in command("inspect", workdir, "--config")[1]
  assert "data position     4 b" in command("inspect", workdir, "--step", 4)[1]


@pytest.mark.parametrize(
  "words, message",
  [
    (["list", "nothing"], "nothing holds no checkpoints .* give the --workdir"),
    (["list", "run/checkpoints/8"], "inside a work directory; give .*run$"),
    (["verify", "run", "--step", "5"], "no step 5 in .*; there: 4, 8, 12"),
  ],
)
def test_what_is_not_there_is_an_error(workdir, command, words, message):
  words[1] = workdir.parent / words[1]
  with pytest.raises(UserError, match=message):
    command(*words)


def test_a_damaged_one_is_not_inspected(workdir, command):
  shutil.rmtree(workdir / "checkpoints" / "12" / "ema")
  with pytest.raises(UserError, match="12 is damaged: ema/"):
    command("inspect", workdir)


@pytest.mark.parametrize("name", ["verify", "inspect"])
def test_the_command_leaves_the_accelerator_to_the_run(workdir, name):
  done = subprocess.run(
    [sys.executable, "-m", "launch.checkpoint", name, str(workdir)],
    cwd=pathlib.Path(__file__).parents[1],
    env=os.environ | {"JAX_PLATFORMS": "one_that_is_busy"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert "12" in done.stdout
