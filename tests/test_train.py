"""launch.train: what it checks, what it leaves, what it says."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest
import talkers
from test_claim import content
from tokens import (
  BINS,
  CATEGORIES,
  SHAPE,
  write_tokenizer,
  write_tokens,
)

from benchmarks.train_step import random_batch
from configs import base
from data_pipelines.batches import TalkerBatches
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.jobs.talker import flops_per_step, train
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.scaling import traced
from eartalk_jax.telemetry import events
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.tokenizers.storing import load_tokenizer
from eartalk_jax.training.train_config import TrainConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("train")
  tokenizer = write_tokenizer(root / "tokenizer")
  write_tokens(root / "tokens", tokenizer=tokenizer.fingerprint)
  return root


def tiny_config(root):
  c = base.get_config()
  c.tokenizer = str(root / "tokenizer")
  c.data = {"tokens": str(root / "tokens"), "frames": 4}
  model = c.model
  model.latent_shape, model.patch, model.stride = SHAPE, 1, 1
  model.width, model.depth, model.heads, model.window = 16, 1, 2, 3
  model.audio.steps, model.audio.bins = 4, BINS
  model.controls = [
    {"name": "pose", "kind": "continuous", "size": 3, "drop": 0.3},
    {"name": "emotion", "kind": "categorical", "size": 3, "drop": 0.3},
  ]
  model.head.width, model.head.depth, model.head.heads = 16, 1, 2
  model.dtype = "float32"
  c.run.steps, c.run.batch_size, c.run.save_every = 4, 8, 2
  c.run.log_every, c.run.diagnose_every = 1, 2
  return c


def refused(config, workdir, message):
  with pytest.raises(UserError, match=message):
    train(config, workdir)
  assert not pathlib.Path(workdir).exists(), "nothing half-written"


def meanwhile(monkeypatch, act):
  """Does something at a run's second batch: all is compiled, nothing saved."""
  iterate = TalkerBatches.iterate

  def acting(self, step):
    for number, batch in enumerate(iterate(self, step)):
      if number == 1:
        act()
      yield batch

  monkeypatch.setattr(TalkerBatches, "iterate", acting)


def train_and_refuse_another(config, other, workdir, monkeypatch):
  """Trains; meanwhile another start changes nothing of what it has kept."""
  kept = []

  def start_other():
    before = content(workdir)
    with pytest.raises(UserError, match="another process trains in"):
      train(other, workdir)
    assert content(workdir) == before
    kept.extend(before)

  monkeypatch.setattr(events, "BEAT", 1e6)
  with monkeypatch.context() as patch:
    meanwhile(patch, start_other)
    train(config, workdir)
  assert {"config.json", "tokenizer/tokenizer.json"} <= set(kept)


def test_a_run_leaves_all_that_inference_needs(root, tmp_path, monkeypatch):
  config, other = tiny_config(root), tiny_config(root)
  other.model.window = 2
  train_and_refuse_another(config, other, tmp_path, monkeypatch)
  saved = json.loads((tmp_path / "config.json").read_text())
  model = Talker(from_config(TalkerConfig, saved["model"]))
  shapes = jax.eval_shape(init_params(model), jax.random.key(0))
  step, params = load_ema(tmp_path, shapes)
  assert step == 4
  assert jax.tree.map(lambda a: a.shape, params) == jax.tree.map(
    lambda a: a.shape, shapes
  )
  copied = load_tokenizer(tmp_path / "tokenizer")
  assert copied.fingerprint == saved["fingerprints"]["tokenizer"]
  # A controls file names categories; a copied run must know them.
  assert saved["categories"] == CATEGORIES
  lines = read_metrics(tmp_path)
  assert [line["step"] for line in lines] == [1, 2, 3, 4]
  diagnosed = {name for name in lines[1] if name not in lines[0]}
  assert diagnosed and diagnosed <= set(lines[3])
  assert all(line["flops_per_second_per_device"] > 0 for line in lines)

  train(config, tmp_path)  # finished: returns at once
  config.run.log_every = 2  # may change
  train(config, tmp_path)
  config.model.window = 2
  with pytest.raises(UserError, match="model.window was 3 and is now 2"):
    train(config, tmp_path)
  config.model.window = 3
  # The same data may lie elsewhere; other data may not take its place.
  config.data.tokens = str(shutil.copytree(root / "tokens", tmp_path / "moved"))
  train(config, tmp_path)
  config.data.tokens = str(tmp_path / "other")
  write_tokens(
    tmp_path / "other", lengths=(21,) * 8, tokenizer=copied.fingerprint
  )
  with pytest.raises(UserError, match="fingerprints.tokens was '"):
    train(config, tmp_path)


def test_the_flops_of_a_step_are_those_of_its_whole_batch(root):
  config = from_config(TrainConfig, tiny_config(root))
  model = Talker(config.model)
  key = jax.random.key(0)
  params = jax.eval_shape(init_params(model), key)
  rows, frames = config.run.batch_size, config.data.frames
  batch = jax.eval_shape(lambda: random_batch(config.model, rows, frames))
  gradient = jax.value_and_grad(talkers.talker_loss(model))
  traced_flops = traced.flops(gradient, params, batch, key)
  counted = sum(flops_per_step(config).values())
  # The program also computes the pairs of the band that are hidden.
  assert 0.6 * traced_flops < counted <= traced_flops


def test_what_does_not_belong_together_is_refused(root, tmp_path):
  workdir = tmp_path / "run"
  write_tokenizer(tmp_path / "other", seed=1)
  config = tiny_config(root)
  config.tokenizer = str(tmp_path / "other")
  refused(config, workdir, "made with another tokenizer")
  config = tiny_config(root)
  config.model.latent_shape = (4, 2, 3)
  refused(config, workdir, r"has latents of \(2, 2, 3\)")
  config = tiny_config(root)
  config.model.controls[0]["name"] = "posture"
  refused(config, workdir, "no track 'posture'")
  config = tiny_config(root)
  config.data.tokens = str(shutil.copytree(root / "tokens", tmp_path / "odd"))
  path = tmp_path / "odd" / "manifest.json"
  manifest = json.loads(path.read_text())
  for odd in ({"latent_shape": 5}, {"speech": None}, {"stride": "x"}):
    path.write_text(json.dumps(manifest | odd))
    refused(config, workdir, "odd/manifest.json is damaged")
  config = tiny_config(root)
  config.data.tokens = str(tmp_path / "nothing")
  refused(config, workdir, "nothing is no finished tokens dataset")


def test_a_run_is_not_put_into_what_it_reads(root):
  config = tiny_config(root)
  for place in (config.data.tokens, config.tokenizer):
    before = content(pathlib.Path(place))
    with pytest.raises(UserError, match="--workdir .*what the command reads"):
      train(config, place)
    assert content(pathlib.Path(place)) == before


def command(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "launch.train", *arguments],
    cwd=pathlib.Path(__file__).parents[1],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )


def test_a_wrong_override_is_one_line_before_any_work(tmp_path):
  done = command(
    "--config=configs/demo.py",
    f"--workdir={tmp_path}/run",
    "--config.run.stpes=3",
  )
  assert done.returncode == 2
  assert "unknown key --config.run.stpes; did you mean st" in done.stderr
  assert "Traceback" not in done.stderr
  assert not (tmp_path / "run").exists()
