"""Exported folders with encoders of other libraries, and a run at stride 4."""

import json
import shutil
import sys
import types

import exported
import jax
import numpy as np
import pytest
import test_ltx
import test_wan
import test_wav2vec
import torch
from foreign import perturbed, saved
from safetensors.numpy import load_file, save_file

from eartalk_jax import speech as speeches
from eartalk_jax import tokenizers
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.errors import UserError
from eartalk_jax.export import encoders, modeling_eartalk, modeling_encoders
from eartalk_jax.export.description import describe_speech, describe_tokenizer
from eartalk_jax.export.exporting import export_folder
from eartalk_jax.export.folders import load_module
from eartalk_jax.export.importing import import_folder
from eartalk_jax.export.verification import verify
from eartalk_jax.generate import load_generator
from eartalk_jax.models.config import AudioConfig
from eartalk_jax.speech import features
from eartalk_jax.tokenizers.storing import load_tokenizer

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

# The smallest of the kind: 4 x 4 pixels and 4 frames are a latent.
WAN = {
  **test_wan.SMALL,
  "dim_mult": [1, 1, 1],
  "temperal_downsample": [True, True],
  "scale_factor_spatial": 4,
}
TOKENIZERS = {
  "wan": ("AutoencoderKLWan", WAN, 16),
  "wan 2.2": ("AutoencoderKLWan", test_wan.SETTINGS["2.2"], 32),
  "kl": (
    "AutoencoderKL",
    {
      "down_block_types": ("DownEncoderBlock2D",) * 2,
      "up_block_types": ("UpDecoderBlock2D",) * 2,
      "block_out_channels": (8, 16),
      "norm_num_groups": 4,
      "scaling_factor": 0.3,
    },
    16,
  ),
  "taesd": (
    "AutoencoderTiny",
    {
      "encoder_block_out_channels": (8, 8),
      "decoder_block_out_channels": (8, 8),
      "num_encoder_blocks": (1, 1),
      "num_decoder_blocks": (1, 1),
      "scaling_factor": 0.7,
    },
    16,
  ),
}
SHORT = {
  "conv_dim": (12, 16),
  "conv_kernel": (40, 16),
  "conv_stride": (20, 16),
}
NETWORKS = test_wav2vec.NETWORKS | {
  "hubert": ("hubert", test_wav2vec.STABLE | SHORT)
}
WHISPER = {
  "d_model": 32,
  "encoder_layers": 2,
  "encoder_attention_heads": 4,
  "encoder_ffn_dim": 64,
  "max_source_positions": 50,
}
WINDOW, STATES = (2, 3, 1), (1, 2)


def tokenizer(name, folder):
  """A small tokenizer of ours, out of one of diffusers."""
  kind, _, version = name.partition(" ")
  if kind == "ltx":
    theirs, size = test_ltx._model(version), 64
  else:
    which, settings, size = TOKENIZERS[name]
    torch.manual_seed(0)
    theirs = perturbed(getattr(diffusers, which)(**settings))
  last = list(theirs.decoder.parameters())[-2:]  # of the last convolution
  with torch.no_grad():  # what is cut off beyond [-1, 1] is not compared
    for parameter in last:
      parameter *= 0.3
  return tokenizers.KINDS[kind].imported(saved(theirs, folder), size)


def speech(name, folder):
  """A small speech encoder of ours, out of one of transformers."""
  if name == "whisper":
    kind, config = name, transformers.WhisperConfig(**WHISPER)
    of = transformers.models.whisper.modeling_whisper
    theirs = of.WhisperEncoder(config)
  else:
    kind, settings = NETWORKS[name]
    settings = {**test_wav2vec.SMALL, **settings}
    config = transformers.AutoConfig.for_model(kind, **settings)
    torch.manual_seed(0)
    theirs = transformers.AutoModel.from_config(config)
  source = saved(perturbed(theirs), folder)
  return speeches.KINDS[kind].imported(source, WINDOW, STATES)


def proof(name):
  return pytest.param(name, marks=pytest.mark.proof)


def compared(what, part, folder):
  """The figures of one encoder that goes there and back."""
  (folder / "out").mkdir()
  own = types.SimpleNamespace(kind="patches"), types.SimpleNamespace(kind="mel")
  pair = (part, own[1]) if what == "tokenizer" else (own[0], part)
  encoders.write_foreign(folder / "out", pair, folder)
  assert encoders.compare_foreign(folder / "out", pair) == []
  described = json.loads(json.dumps(encoders.describe_part(part)))
  back = encoders.read_back(folder / "out", what, *described.values())
  assert back.fingerprint == part.fingerprint
  describe = describe_tokenizer if what == "tokenizer" else describe_speech
  said = json.loads(json.dumps(describe(part)))
  cfg = modeling_eartalk._value(what, None, said, what)
  if what == "tokenizer":
    theirs = modeling_encoders.load_tokenizer(
      cfg, folder / "out" / what, modeling_eartalk.fixed_noise
    )
  else:
    audio = types.SimpleNamespace(steps=2, bins=part.shape[1])
    cfg = types.SimpleNamespace(speech=cfg, audio=audio, frame_samples=640)
    theirs = modeling_encoders.load_speech(cfg, folder / "out" / what)
  return encoders.compare_encoders(
    pair, types.SimpleNamespace(**{what: theirs})
  )


@pytest.mark.parametrize(
  "name",
  [proof("wan 2.2"), "ltx 0.9.1", "kl", "taesd"]
  + [proof("ltx 0.9.0"), proof("ltx 0.9.5")],
)
def test_a_tokenizer_goes_there_and_back(name, tmp_path):
  part = tokenizer(name, tmp_path / "in")
  figures = compared("tokenizer", part, tmp_path)
  assert len(figures) == 4 and 0 < max(figures.values()) < 2e-5


@pytest.mark.parametrize("name", ["wav2vec2", proof("wavlm-stable"), "whisper"])
def test_a_speech_encoder_goes_there_and_back(name, tmp_path):
  part = speech(name, tmp_path / "in")
  figures = compared("speech", part, tmp_path)
  assert len(figures) == 1 and 0 < max(figures.values()) < 2e-5


# --- A run at stride 4: wan and hubert

FRAMES = 30  # the last latent reaches beyond them
PORTRAIT = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
SPEECH = np.random.default_rng(0).normal(0, 0.1, 640 * FRAMES - 100)
SPEECH = SPEECH.astype(np.float32)
# Within latents and at their edges; frame 0 is the portrait.
WISHES = {
  "emotion": {0: "sad", 7: None, 22: "happy"},
  "pose": {3: [0.5, -1, 0]},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """(work directory, exported folder)."""
  folder = tmp_path_factory.mktemp("made")
  both = tokenizer("wan", folder / "wan"), speech("hubert", folder / "hubert")
  a, f = both[1].shape
  audio = AudioConfig(1, 1, a, f, tokens=2, drop=0.1, states=len(STATES))
  exported.make_run(
    folder / "run",
    "flow, one layer",
    both,
    latent_shape=(4, 4, 4),
    stride=4,
    audio=audio,
  )
  (folder / "run" / "speech" / "LICENSE").write_text("free")
  export_folder(folder / "run", folder / "out")
  assert (folder / "out" / "speech" / "LICENSE").read_text() == "free"
  return folder / "run", folder / "out"


def test_the_proof_tool_agrees_at_stride_4(made):
  figures = verify(*made, frames=1)
  assert figures["failures"] == []
  assert figures["wraps"] == 4 and figures["frames"] == 48
  assert 0 < figures["encoder_max_rel"] <= 2e-5
  assert 0 < figures["all_frames_max_abs"] <= 1e-5
  assert 0 < figures["audio_features_max_abs"] < 2e-5


def test_frames_are_those_of_jax_at_stride_4(made, monkeypatch):
  run, folder = made
  generator = load_generator(run)
  emotion_T, pose_TK = np.zeros((FRAMES, 1)), np.zeros((FRAMES, 3))
  emotion_T[:7], emotion_T[22:], pose_TK[3:] = 2, 1, [0.5, -1, 0]
  frame_T = np.arange(FRAMES)
  given = {
    "pose": frame_T[None] >= 3,
    "emotion": ((frame_T < 7) | (frame_T >= 22))[None],
  }
  heard = features(generator.speech, SPEECH)
  chunks = generator.generate(
    PORTRAIT[None],
    heard[None],
    {"pose": pose_TK[None], "emotion": emotion_T[None]},
    given,
    {"pose": (np.float32([[0.1, 0, 0]]), np.ones(1, bool))},
    seeds=[9],
  )
  expected = np.concatenate([chunk[0] for chunk in chunks])
  for name in ("jax", "flax", "eartalk_jax"):
    monkeypatch.setitem(sys.modules, name, None)
  module = load_module(folder)
  model = module.EARTalking.from_pretrained(folder)
  known = {"pose": [0.1, 0, 0]}
  frames = model.generate(PORTRAIT, SPEECH, WISHES, known=known, seed=9)
  frames = np.stack(list(frames))
  assert frames.shape == expected.shape == (FRAMES, 16, 16, 3)
  np.testing.assert_array_equal(frames[0], PORTRAIT)
  assert np.abs(frames.astype(int) - expected).max() <= 1
  assert np.abs(np.diff(frames.astype(int), axis=0)).max() > 10
  # Live: in pieces, each frame as soon as it can be told.
  stream = module.Stream(model, PORTRAIT, known, seed=9)
  stream.set_all(WISHES, FRAMES)
  live, ready = [], []
  for start in range(0, len(SPEECH), 3000):
    stream.push(SPEECH[start : start + 3000])
    live += stream.pull()
    ready.append(len(live))
  assert ready[:3] == [0, 5, 9]
  stream.finish()
  np.testing.assert_array_equal([*live, *stream.pull()], frames)


def test_a_folder_of_stride_4_comes_back(made, tmp_path):
  run, folder = made
  exported.load(folder).save_pretrained(tmp_path / "saved")
  import_folder(tmp_path / "saved", tmp_path / "back")
  theirs, ours = load_generator(tmp_path / "back"), load_generator(run)
  assert theirs.fingerprint == ours.fingerprint
  jax.tree.map(
    np.testing.assert_array_equal,
    load_ema(tmp_path / "back"),
    load_ema(run),
  )


def changed(path, **changes):
  content = json.loads(path.read_text())
  path.write_text(json.dumps(content | changes))


def test_what_does_not_fit_is_named(made, tmp_path):
  run, folder = made
  copied = shutil.copytree(folder, tmp_path / "copied")
  both = load_tokenizer(run / "tokenizer"), speeches.load_speech(run / "speech")
  assert encoders.compare_foreign(copied, both) == []
  # Statistics stand in both: those of config.json are used.
  path = copied / "tokenizer" / "config.json"
  changed(path, latents_mean=[0.0] * 4)
  assert "latents_mean" in encoders.compare_foreign(copied, both)[0]
  with pytest.raises(UserError, match="latent_mean"):
    import_folder(copied, tmp_path / "back")
  shutil.copyfile(folder / "tokenizer" / "config.json", path)
  for what, name in (
    ("tokenizer", "decoder.conv_in.weight"),
    ("speech", "encoder.layers.1.final_layer_norm.bias"),
  ):
    path = copied / what / encoders._FILES[what]
    tensors = load_file(path)
    kept = tensors.pop(name)
    save_file(tensors, path)
    with pytest.raises(ValueError, match=name) as raised:
      exported.load(copied)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(UserError, match=name):
      import_folder(copied, tmp_path / "back")
    save_file(tensors | {name: kept + 1e-3}, path)
    assert name in encoders.compare_foreign(copied, both)[0]
    shutil.copyfile(folder / what / path.name, path)
  changed(copied / "training.json", speech={"kind": "pair", "config": {}})
  with pytest.raises(UserError, match="'pair' comes back"):
    import_folder(copied, tmp_path / "back")
  assert not (tmp_path / "back").exists()
  (copied / "modeling_encoders.py").unlink()
  with pytest.raises(FileNotFoundError, match="modeling_encoders"):
    load_module(copied).EARTalking.from_pretrained(copied)


@pytest.mark.parametrize("kind", ["pair", "taehv"])
def test_a_kind_that_pytorch_is_not_told_of_is_not_exported(kind):
  parts = types.SimpleNamespace(kind=kind), speeches.open_speech("mel:8")
  with pytest.raises(UserError, match=f"tokenizer of kind '{kind}'"):
    encoders.check_kinds({}, *parts)
