"""From a download to a folder of ours, and what is refused on the way."""

import json
import shutil

import numpy as np
import pytest
import torch
from foreign import perturbed
from safetensors.numpy import load_file, save_file

from eartalk_jax.errors import UserError
from eartalk_jax.jobs.import_encoder import read_encoder
from eartalk_jax.speech import load_speech
from eartalk_jax.tokenizers.storing import load_tokenizer
from launch import import_encoder, verify_encoder

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
  """Folders as users have them: a picture autoencoder, a speech network."""
  root = tmp_path_factory.mktemp("downloads")
  torch.manual_seed(0)
  kl = diffusers.AutoencoderKL(
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    block_out_channels=(4, 8),
    layers_per_block=1,
    norm_num_groups=2,
  )
  perturbed(kl).save_pretrained(root / "kl")
  (root / "kl/README.md").write_text("---\nlicense: mit\n---\nA model.\n")
  config = transformers.AutoConfig.for_model(
    "hubert",
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=24,
    conv_dim=(8,) * 7,
    num_conv_pos_embeddings=8,
    num_conv_pos_embedding_groups=2,
  )
  model = perturbed(transformers.AutoModel.from_config(config))
  model.save_pretrained(root / "hubert")
  return root


@pytest.fixture
def kl(downloads, tmp_path):
  """A copy of it that may be spoilt."""
  return shutil.copytree(downloads / "kl", tmp_path / "kl")


def spoil(folder, change):
  """Rewrites the weights, {name: array}, by a function that changes them."""
  arrays = load_file(folder / WEIGHTS)
  change(arrays)
  save_file(arrays, folder / WEIGHTS)


def set_key(folder, key, value):
  path = folder / "config.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


def run(command, *words):
  return command.main([str(word) for word in words])


def test_a_tokenizer_and_its_proof(downloads, tmp_path, capsys):
  source, out = downloads / "kl", tmp_path / "out"
  run(import_encoder, "--from", source, "--size", 16, "--out", out)
  told = capsys.readouterr().out
  assert "license: mit" in told and "0 B to decode" in told
  assert load_tokenizer(out).picture_shape == (16, 16)
  assert (out / "LICENSE").read_text() == "license: mit"
  assert (out / "round_trip.png").stat().st_size > 1000
  proof = tmp_path / "proof.json"
  words = "--from", source, "--encoder", out, "--json", proof
  assert not run(verify_encoder, *words)
  figures = json.loads(proof.read_text())
  assert figures["kind"] == "kl"
  assert 0 < figures["max_abs"] < 2e-5 > figures["streamed_max_abs"] > 0
  # Another model's encoder is not its function.
  other = shutil.copytree(source, tmp_path / "other")
  spoil(other, lambda arrays: arrays["decoder.conv_out.bias"].__iadd__(0.1))
  assert run(verify_encoder, "--from", other, "--encoder", out) == 1
  assert "decode  differs" in capsys.readouterr().out
  with pytest.raises(UserError, match="out is there already"):
    run(import_encoder, "--from", source, "--size", 16, "--out", out)


def test_a_speech_encoder_and_its_proof(downloads, tmp_path):
  source, out = downloads / "hubert", tmp_path / "out"
  window = "--window", "5,3,2", "--states", "0,1"
  run(import_encoder, "--from", source, *window, "--out", out)
  speech = load_speech(out)
  assert speech.shape == (2, 32) and speech.step == 3
  assert (out / "features.png").stat().st_size > 1000
  proof = tmp_path / "proof.json"
  words = "--from", source, "--encoder", out, "--json", proof
  assert not run(verify_encoder, *words)
  figures = json.loads(proof.read_text())
  assert {"hidden state 0", "hidden state 1"} < figures["parts"].keys()
  assert 0 < figures["max_abs"] < 2e-5


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_halved_weights_are_read_and_said(kl, name):
  dtype = {"F16": torch.float16, "BF16": torch.bfloat16}[name]
  model = diffusers.AutoencoderKL.from_pretrained(kl).to(dtype)
  model.save_pretrained(kl)
  imported = read_encoder(kl, size=16)
  assert imported.dtypes.keys() == {name}
  found = imported.encoder.arrays()["quant_conv/bias"]
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, model.quant_conv.bias.detach().float())


def truncated(folder):
  path = folder / WEIGHTS
  path.write_bytes(path.read_bytes()[:-100])


def lacking(folder):
  spoil(folder, lambda arrays: arrays.pop("encoder.conv_in.bias"))


def with_more(folder):
  extra = np.zeros(3, np.float32)
  spoil(folder, lambda arrays: arrays.update({"encoder.extra": extra}))


def of_another_size(folder):
  bias = np.zeros(5, np.float32)
  spoil(folder, lambda arrays: arrays.update({"encoder.conv_in.bias": bias}))


def with_nan(folder):
  spoil(folder, lambda arrays: arrays["quant_conv.bias"].fill(np.nan))


def without_weights(folder):
  (folder / WEIGHTS).unlink()


def of_a_foreign_class(folder):
  set_key(folder, "_class_name", "AutoencoderKLHunyuanVideo")


BAD = {
  "no whole safetensors": truncated,
  "lacks encoder.conv_in.bias": lacking,
  "has encoder.extra, which nothing is made of": with_more,
  r"encoder.conv_in.bias is \[5\]": of_another_size,
  "quant_conv.bias holds NaN": with_nan,
  "has no weights": without_weights,
  "no encoder that is known .*Hunyuan": of_a_foreign_class,
  "unknown key 'depth'": lambda folder: set_key(folder, "depth", 3),
  "act_fn is 'mish'": lambda folder: set_key(folder, "act_fn", "mish"),
  "config.json": lambda folder: (folder / "config.json").write_text("{"),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_wrong_is_named_and_nothing_written(kl, tmp_path, message):
  BAD[message](kl)
  out = tmp_path / "out"
  with pytest.raises(UserError, match=message):
    run(import_encoder, "--from", kl, "--size", 16, "--out", out)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["kl"]


WRONG = {
  "no such folder": ["--from", "nowhere"],
  "not a multiple of 2": ["--size", "15"],
  "--kind vqgan": ["--kind", "vqgan"],
  "--window is not for": ["--window", "5,3,2"],
  "--window 5,3: give 3 whole": ["--window", "5,3"],
  "is what the command reads": ["--out", "kl"],
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_is_a_line(kl, tmp_path, monkeypatch, message):
  monkeypatch.chdir(tmp_path)
  words = ["--from", "kl", "--size", "16", "--out", "out", *WRONG[message]]
  with pytest.raises(UserError, match=message):
    run(import_encoder, *words)


class Evil:
  def __reduce__(self):
    return print, ("it ran",)


def test_pickles_are_read_by_wish_and_run_nothing(kl, tmp_path, capfd):
  pickle = kl / "model.ckpt"
  tensors = {k: torch.from_numpy(v) for k, v in load_file(kl / WEIGHTS).items()}
  torch.save({"state_dict": tensors}, pickle)
  with pytest.raises(UserError, match="can run code"):
    read_encoder(pickle, size=16)
  one = read_encoder(pickle, size=16, trust_pickle=True)
  assert (
    one.encoder.fingerprint == read_encoder(kl, size=16).encoder.fingerprint
  )
  torch.save({"state_dict": tensors, "more": Evil()}, pickle)
  with pytest.raises(UserError, match="no pickle of plain weights"):
    read_encoder(pickle, size=16, trust_pickle=True)
  assert "it ran" not in capfd.readouterr().out
