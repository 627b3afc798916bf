"""The ahead-of-time proof, for machines that are not here."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

from configs import base, demo, paper
from eartalk_jax.aot import (
  compiling,
  encoder_report,
  encoders,
  encoding,
  proof,
  report,
)
from eartalk_jax.aot.environment import ENVIRONMENT
from eartalk_jax.aot.topology import topology
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.jobs.talker import flops_per_step
from eartalk_jax.processes import apart
from eartalk_jax.recipes import ear
from eartalk_jax.scaling.encoders import tokenizer_costs
from eartalk_jax.tokenizers import kl, wan
from eartalk_jax.tokenizers.storing import save_tokenizer
from eartalk_jax.training import talker_training
from eartalk_jax.training.sharding import make_mesh
from eartalk_jax.training.train_config import TrainConfig

_ROOT = pathlib.Path(__file__).parents[1]
_SMALL = {
  "tokenizer": "of_nobody",
  "model.latent_shape": "(4,4,4)",
  "model.width": 32,
  "model.audio.bins": 8,
  "model.head.width": 32,
  "model.head.rank": 4,
  "run.optimizer.matrices": "adam",
  "run.batch_size": 8,
}


def _check(*arguments, config="configs/demo.py", **changes):
  overrides = [
    f"--config.{key}={value}" for key, value in (_SMALL | changes).items()
  ]
  return subprocess.run(
    [sys.executable, "-m", "launch.compile_check"]
    + ["--config", str(config), *arguments, *overrides],
    cwd=_ROOT,
    env=os.environ
    | {"PYTHONPATH": str(_ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"},
    capture_output=True,
    text=True,
    timeout=600,
  )


def _config(**changes):
  config = demo.get_config()
  config.model.update({"latent_shape": (4, 4, 4), "width": 32})
  config.model.head.update({"width": 32, "rank": 4})
  config.run.optimizer.matrices = "adam"
  config.run.update({"batch_size": 8} | changes)
  return from_config(TrainConfig, config)


def _small_kl(folder):
  """The folder of a tokenizer for the latents of _SMALL."""
  config = kl.Config(
    8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4
  )
  shaped = kl.abstract(config)
  params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shaped.params)
  save_tokenizer(folder, dataclasses.replace(shaped, params=params))
  return folder


def test_a_small_model_is_proven_to_fit_a_small_tpu(tmp_path):
  path = tmp_path / "proof.json"
  tokenizer = _small_kl(tmp_path / "kl")
  given = ("--tokenizer", str(tokenizer), "--streams", "2")
  done = _check("--topology", "v5e:2x2", "--json", str(path), *given)
  assert done.returncode == 0, done.stderr
  proof = json.loads(path.read_text())
  assert proof["devices"] == 4 and proof["fits"]
  assert 0 < proof["hbm_peak_gib"] < proof["hbm_limit_gib"] == 16
  assert 0 < proof["params_per_device"] <= proof["params"]
  libtpu = importlib.metadata.version("libtpu")
  assert any(f"libtpu {libtpu} " in line for line in proof["assumptions"])
  # Gradients of all parameters, float32: twice 3/4 of them round the ring.
  (reduced,) = proof["collectives"]
  assert (reduced["kind"], reduced["axes"]) == ("all-reduce", "data")
  assert 6 * proof["params"] <= proof["collective_bytes"]
  assert proof["collective_bytes"] < 6.2 * proof["params"]
  assert proof["hardware_flops_per_step"] > proof["model_flops_per_step"]
  assert sum(proof["model_flops_by_part"].values()) == pytest.approx(
    proof["model_flops_per_step"]
  )
  assert (
    0
    < proof["step_seconds_optimistic"]
    <= proof["step_seconds_estimate"]
    <= proof["step_seconds_pessimistic"] * 1.001
  )
  per_second = proof["model_flops_per_step"] / proof["step_seconds_estimate"]
  assert proof["mfu_estimate"] == pytest.approx(per_second / (4 * 197e12))
  assert proof["bound_by"] in ("memory", "ici")  # so small, never by compute
  assert proof["frame"]["devices"] == 1 and proof["frame"]["fits"]
  stream, tokenize = proof["stream"], proof["tokenize"]
  assert stream["fits"] and stream["real_time"] and tokenize["fits"]
  assert (
    stream["step_seconds_estimate"] > proof["frame"]["step_seconds_estimate"]
  )
  assert stream["state_bytes_per_stream"]["decoder"] == 0
  assert tokenize["hardware_flops_per_step"] == pytest.approx(
    tokenize["model_flops_per_step"], rel=0.5
  )
  assert "speech" not in proof
  for shown in (
    "HBM",
    "bound by",
    "assumptions",
    "v5e",
    "all-reduce over data",
    "streamed step with decoder, 2 streams",
    "left out: encoder of speech; --speech NAME|FOLDER adds it",
  ):
    assert shown in done.stdout


@pytest.mark.proof
def test_what_does_not_fit_ends_with_status_1_and_a_knob():
  # 16 million clips on each of four devices of 16 GB.
  done = _check("--topology", "v5e:2x2", **{"run.batch_size": 2**26})
  assert done.returncode == 1, done.stderr
  assert "does not fit" in done.stdout
  assert "lower config.run.batch_size" in done.stdout


@pytest.mark.parametrize(
  "name, slices",
  [
    ("v5p:4x4", 1),
    ("v5p", 1),
    ("v9:2x2", 1),
    ("v4:2x2", 1),
    ("tpu7x:0x0", 1),
    ("tpu7x:0x0x0", 1),
    ("tpu7x:2x2x-1", 1),
    (f"v5p:2x2x{'9' * 5000}", 1),
    ("v5e:32x32", 1),
    ("v5p:999x999x999", 1),
    ("v5e:2x2", 10**9),
    ("h100:8x8", 2),
    ("h100:99999x8", 1),
    ("v5e:2x2", 0),
    ("h100:" + "9" * 5000 + "x8", 1),
    ("h100:99999x99999", 1),
    ("h100:²x8", 1),
  ],
)
def test_machines_that_nobody_makes_are_an_error(name, slices):
  told = r"known are v5e|NODESxGPUS|up to \d+ (chips|devices)"
  with pytest.raises(UserError, match=told):
    topology(name, slices)


def _prove_by(monkeypatch, error):
  def refuse(*unused):
    raise error

  monkeypatch.setattr(compiling, "train_step", refuse)
  # As in the process of its own, whose end is that of `test_apart`.
  monkeypatch.setattr(proof.apart, "each", lambda made, *given: made(*given))
  return proof.proof(_config(), "h100:2x4")


@pytest.mark.parametrize(
  "error, told",
  [
    (
      jax.errors.JaxRuntimeError("INTERNAL: no layout\nfor this"),
      r"refuses \(jax .*\): INTERNAL: no layout$",
    ),
    (
      apart.Died("crashed (SIGABRT)", "Check failed: a < b"),
      r"crashed \(SIGABRT\) \(jax \S+, jaxlib \S+, .*\): Check failed: a < b$",
    ),
    (apart.Died("ended with status 1", ""), "; it left no word$"),
  ],
)
def test_what_the_compiler_does_not_survive_names_it(monkeypatch, error, told):
  parts = _prove_by(monkeypatch, error)
  assert next(parts) == 8
  with pytest.raises(UserError, match="--topology h100:2x4: .*" + told):
    next(parts)


def test_a_report_in_place_of_the_config_is_refused_before_any_work(tmp_path):
  config = tmp_path / "small.py"
  config.write_text((_ROOT / "configs" / "demo.py").read_text())
  before = config.read_bytes()
  given = ("--topology", "v5e:2x2", "--json", str(config))
  done = _check(*given, config=config)
  assert done.returncode == 2 and "what the command reads" in done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert config.read_bytes() == before


def test_without_its_compiler_a_tpu_is_an_error_with_the_remedy(monkeypatch):
  for key, value in ENVIRONMENT.items():
    monkeypatch.setenv(key, value)
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(UserError, match=r"pip install 'eartalk-jax\[aot\]'"):
    topology("v5e:2x2")


def test_gpus_are_simulated_and_say_so():
  config = _config(mesh={"data": -1, "fsdp": 4})
  cluster = topology("h100:2x4")
  compiled = compiling.train_step(
    ear, config.model, config.data.frames, config.run, cluster
  )
  numbers = report.train_report(config, compiled, cluster)
  assert numbers["devices"] == 8 and numbers["fits"]
  assert numbers["params_per_device"] < numbers["params"]
  flops = sum(flops_per_step(config).values())
  assert numbers["model_flops_per_step"] == pytest.approx(flops)
  # Gradients cross from node to node, parameters stay inside.
  for part in numbers["collectives"]:
    assert (part["dcn_bytes"] > 0) == ("data" in part["axes"])
  assert {"fsdp", "data"} <= {
    axis for part in numbers["collectives"] for axis in part["axes"].split("+")
  }
  assert any("CPU backend" in line for line in report.assumptions(cluster))


@pytest.fixture(scope="module")
def streamed():
  """(TrainConfig, a tokenizer of stride 4, machine, its Step, report)."""
  tokenizer = wan.abstract(
    wan.Config(64, base_dim=4, z_dim=4, dim_mult=(1, 1, 1, 1), num_res_blocks=1)
  )
  config = _config()
  model = dataclasses.replace(
    config.model, stride=4, latent_shape=tokenizer.latent_shape
  )
  config = dataclasses.replace(config, model=model)
  machine = topology("h100:2x4")
  frame = compiling.frame_step(ear, model, machine, 2)
  frame = report.frame_report(config, frame, machine, 2)
  step = encoding.stream_step(ear, model, tokenizer, machine, 2)
  said = encoder_report.stream_report(config, step, frame, machine, 2)
  return config, tokenizer, machine, step, said


def test_a_stream_is_told_in_frames_of_video_and_bytes_of_its_own(streamed):
  _, tokenizer, machine, _, said = streamed
  costs = tokenizer_costs(tokenizer)
  assert said["frames_per_step"] == 2 * 4
  assert said["state_bytes_per_stream"]["decoder"] == costs.decode_state > 0
  assert said["decoder_flops_per_frame"] == pytest.approx(costs.decode / 4)
  made = said["frames_per_second"] * said["step_seconds_estimate"]
  assert made == pytest.approx(2 * 4)
  step = encoding.encode_step(tokenizer, machine)
  encoded = encoder_report.encoder_report(step, "encoder", machine)
  assert encoded["flops_per_frame"] == pytest.approx(costs.encode / 4)
  assert encoded["frames_per_step"] == 4  # one clip, as it is tokenized
  rate = encoded["frames_per_second_per_tflops"] * machine.chip.peak_flops
  assert rate / 1e12 == pytest.approx(encoded["frames_per_second"])
  floor = encoded["floor_seconds_per_frame"] * encoded["frames_per_second"]
  assert floor == pytest.approx(encoded["of_floor"])


@pytest.mark.parametrize(
  "seconds, state, real_time, count",
  [
    (4 / 24.0, 1.0, False, 0),
    (4 / 26.0, 1.0, True, 2),  # a step of two streams
    (4 / 101.0, 1.0, True, 8),  # four such steps, in turn
    (4 / 101.0, 70e9, True, 2),  # there is no room for more states
  ],
)
def test_how_many_streams_are_real_time_is_told_honestly(
  streamed, monkeypatch, seconds, state, real_time, count
):
  config, _, machine, step, _ = streamed
  speed = report.rooflines.Roofline(seconds, 0.0, 0.0, 0.0, seconds, ())
  monkeypatch.setattr(report.rooflines, "roofline", lambda *unused: speed)
  step = dataclasses.replace(step, states={"decoder": state})
  frame = {"step_seconds_estimate": seconds / 2}
  said = encoder_report.stream_report(config, step, frame, machine, 2)
  assert said["real_time"] == real_time
  assert said["real_time_streams"] == count
  assert said["decoder_share_of_seconds"] == pytest.approx(0.5)
  yes = "real time      yes" in encoder_report.stream_text(said)
  assert yes == real_time


def test_an_encoder_that_does_not_fit_the_model_is_named():
  model = from_config(TrainConfig, paper.get_config()).model
  assert encoders.tokenizer_for("wan2.1", model).picture_shape == (512, 512)
  quarter = dataclasses.replace(model, latent_shape=(16, 16, 16), patch=1)
  assert encoders.tokenizer_for("wan2.1", quarter).picture_shape == (128, 128)
  with pytest.raises(UserError, match=r"\(16, 16, 128\), each of 8 frames"):
    encoders.tokenizer_for("ltx0.9.0", model)
  with pytest.raises(UserError, match="wan2.3: no such folder.*wan2.2"):
    encoders.tokenizer_for("wan2.3", model)
  hubert = encoders.speech_for("hubert-large-ls960-ft")
  assert encoders.hearing(model, hubert, "hubert") == model
  open_ = from_config(TrainConfig, base.get_config()).model
  assert encoders.hearing(open_, hubert, "hubert").audio == model.audio
  with pytest.raises(UserError, match="4 vectors of 80 numbers"):
    encoders.hearing(model, encoders.speech_for("mel:80"), "mel:80")


def test_the_knob_follows_what_takes_the_memory():
  def told(state, batch=0.0, remat=True, rows=64, draws=4):
    config = types.SimpleNamespace(
      run=types.SimpleNamespace(batch_size=rows, accumulate=1),
      model=types.SimpleNamespace(
        remat=remat, head=types.SimpleNamespace(draws=draws)
      ),
    )
    shape = {"data": 16, "fsdp": 1, "context": 1, "tensor": 1}
    memory = compiling.Memory(state + batch, 90.0, 0.0, 0.0, 90.0)
    mesh = types.SimpleNamespace(shape=shape)
    compiled = compiling.Compiled(memory, None, mesh, 1, 1, state)
    return report.knob(config, compiled)

  assert "mesh.fsdp" in told(60.0)
  assert "the batch alone" in told(10.0, batch=60.0)
  assert "model.remat=True" in told(10.0, remat=False)
  assert "batch_size" in told(10.0)
  assert "head.draws" in told(10.0, rows=16)
  assert "mesh.context" in told(10.0, rows=16, draws=1)


def test_shapes_of_a_batch_are_those_that_the_loss_takes():
  config = _config()
  mesh = make_mesh(devices=jax.devices()[:1])
  functions = talker_training.functions(
    ear, config.model, mesh, config.run.optimizer
  )
  key = jax.random.key(0)
  params = jax.eval_shape(functions["init_params"], key)
  batch = talker_training.batch_shapes(config.model, 2, 3)
  loss, _ = jax.eval_shape(functions["loss_fn"], params, None, batch, key)
  assert loss.shape == ()
