"""launch.train_tokenizer: it learns, normalises, resumes and is strict."""

import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from frames import write_frames

from configs import tokenizer as real_config
from configs import tokenizer_demo
from data_pipelines.pictures import PictureBatches, PictureConfig
from data_pipelines.shards import open_dataset
from eartalk_jax.config import flatten, from_config
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


def test_a_run_of_before_there_were_kinds_goes_on(trained, root, tmp_path):
  old = tmp_path / "run"
  shutil.copytree(trained, old)
  saved = json.loads((old / "config.json").read_text())
  del saved["model"]["kind"], saved["data"]["length"], saved["data"]["crop"]
  (old / "config.json").write_text(json.dumps(saved))
  config = tiny_config(root)
  with config.unlocked():
    del config.model.kind, config.data.length, config.data.crop
  train(config, old)
  same = [
    load_tokenizer(run / "tokenizer").fingerprint for run in (old, trained)
  ]
  assert same[0] == same[1]


def video_config(root, **changes):
  """A network of the kind wan in which a latent is two frames."""
  c = tiny_config(root, 4)
  c.model = {
    "kind": "wan",
    "size": 16,
    "base_dim": 4,
    "decoder_base_dim": None,
    "z_dim": 4,
    "dim_mult": (1, 2),
    "num_res_blocks": 1,
    "temperal_downsample": (True,),
    "is_residual": False,
    "patch_size": None,
  }
  c.data.update(length=3, crop=8)
  c.run.update(batch_size=8, save_every=2, log_every=1, diagnose_every=100)
  c.statistics_pictures = 48
  c.data.update(changes)
  return c


def test_a_kind_that_sees_time_is_trained_on_pieces_of_clips(
  root, tmp_path, capsys
):
  config = video_config(root)
  train(config, tmp_path / "run")
  tokenizer = load_tokenizer(tmp_path / "run" / "tokenizer")
  assert (tokenizer.kind, tokenizer.stride) == ("wan", 2)
  assert tokenizer.picture_shape == (16, 16)
  said = re.search(r"held-out PSNR: (\d+\.\d+) dB", capsys.readouterr().out)
  # The portrait, which comes back as it went, does not count.
  assert 3 < float(said[1]) < 30
  # Each channel has its mean and deviation, over the pieces that it learned.
  dataset = open_dataset(root / "frames", "frames")
  data = from_config(PictureConfig, config.data.to_dict())
  pieces = itertools.islice(PictureBatches(dataset, data, 8, 0).iterate(0), 2)
  latents_BthwC = np.concatenate(
    [encode(tokenizer, batch["clips_BNYX3"]) for batch in pieces]
  )
  np.testing.assert_allclose(latents_BthwC.mean((0, 1, 2, 3)), 0, atol=1e-4)
  np.testing.assert_allclose(latents_BthwC.std((0, 1, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"length": 4}, "data.length is 4, .*'wan' is 2 frames.* give 3, 5"),
    ({"length": 1}, "data.length is 1"),
    ({"crop": 9}, "data.crop: size 9 is not a multiple of 2"),
    ({"length": 9}, "longest of 20 clips .* has 6 frames"),
  ],
)
def test_pieces_that_a_network_cannot_learn_from_are_refused(
  root, tmp_path, changes, message
):
  with pytest.raises(UserError, match=message):
    train(video_config(root, **changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()


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
