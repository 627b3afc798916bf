"""launch.train_tokenizer: it learns, normalises, resumes and is strict."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from frames import write_frames

from configs import tokenizer as real_config
from configs import tokenizer_demo
from data_pipelines.shards import open_dataset
from eartalk_jax.config import flatten
from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.tokenizers.coding import encode
from eartalk_jax.tokenizers.storing import load_tokenizer
from launch.train_tokenizer import held_out_psnr, train

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("tokenizer")
  write_frames(root / "frames", [[6] * 20])
  write_frames(root / "held_out", [[6] * 22])
  return root


def tiny_config(root, steps=80):
  c = real_config.get_config()
  c.model.update(size=16, channels=8, width=24, heads=2, dtype="float32")
  c.model.encoder_depth, c.model.decoder_depth = 0, 1
  c.data.update(frames=str(root / "frames"), held_out=str(root / "held_out"))
  c.data.update(per_clip=2, threads=1)
  c.statistics_pictures = 256
  c.run.update(steps=steps, batch_size=16, ema_decay=0.9)
  c.run.update(log_every=10, diagnose_every=20, save_every=40)
  c.run.optimizer.update(peak_lr=5e-3, warmup_steps=10)
  return c


@pytest.fixture(scope="module")
def trained(root):
  workdir = root / "run"
  train(tiny_config(root), workdir)
  return workdir


def test_it_learns(trained, root):
  lines = read_metrics(trained)
  assert lines[-1]["pixels"] < 0.5 * lines[0]["pixels"]
  psnr = [line["psnr_db"] for line in lines if "psnr_db" in line]
  assert psnr[-1] > psnr[0] + 1


def test_its_latents_are_normalised_over_the_training_pictures(trained, root):
  source = open_dataset(root / "frames", "frames").source
  frames_TYX3 = np.concatenate([clip["frames"] for clip in source])
  tokenizer = load_tokenizer(trained / "tokenizer")
  latents_ThwC = encode(tokenizer, frames_TYX3[None])[0]
  np.testing.assert_allclose(latents_ThwC.mean((0, 1, 2)), 0, atol=0.1)
  variance_C = latents_ThwC.var((0, 1, 2))
  np.testing.assert_allclose(variance_C.mean(), 1, atol=0.1)


def test_run_again_it_changes_nothing_and_tells_the_psnr(trained, root, capsys):
  before = (trained / "tokenizer/weights.safetensors").read_bytes()
  train(tiny_config(root), trained)
  assert (trained / "tokenizer/weights.safetensors").read_bytes() == before
  said = capsys.readouterr().out
  assert "all 80 steps are done" in said
  dataset = open_dataset(root / "held_out", "frames")
  decibels = held_out_psnr(load_tokenizer(trained / "tokenizer"), dataset)
  assert f"held-out PSNR: {decibels:.2f} dB" in said


def test_another_configuration_in_the_folder_is_refused(trained, root):
  config = tiny_config(root)
  config.objective.kl = 0.5
  with pytest.raises(UserError, match="objective.kl was 1e-06 and is now 0.5"):
    train(config, trained)


def test_a_size_that_the_pictures_have_not_is_refused(root, tmp_path):
  config = tiny_config(root)
  config.model.size = 32
  with pytest.raises(UserError, match="set it to 16"):
    train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_run_is_not_put_into_what_it_reads(root):
  for name in ("frames", "held_out"):
    with pytest.raises(UserError, match="--workdir .*what the command reads"):
      train(tiny_config(root), root / name)
    assert not (root / name / "checkpoints").exists()


def test_the_demo_has_the_keys_of_the_real_size():
  demo = flatten(tokenizer_demo.get_config().to_dict())
  assert demo.keys() == flatten(real_config.get_config().to_dict()).keys()


def command(*words):
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}
  return subprocess.run(
    [sys.executable, "-m", *words],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )


def test_a_misspelt_key_is_one_line_with_the_nearest_name(tmp_path):
  done = command(
    "launch.train_tokenizer",
    "--config=configs/tokenizer_demo.py",
    f"--workdir={tmp_path}/run",
    "--config.model.widht=64",
  )
  assert done.returncode == 2
  assert "did you mean width?" in done.stderr
  assert "Traceback" not in done.stderr


def test_tokenize_without_a_tokenizer_says_what_makes_one(tmp_path):
  done = command(
    "launch.tokenize",
    f"--input={tmp_path}",
    f"--tokenizer={tmp_path}",
    f"--out={tmp_path}/tokens",
  )
  assert done.returncode == 2
  assert "launch.train_tokenizer" in done.stderr
  assert not (tmp_path / "tokens").exists()
