"""An exported folder as its users meet it, and the way back."""

import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys

import av
import exported
import jax
import numpy as np
import pytest
import tiny
from flax import traverse_util
from PIL import Image
from safetensors.numpy import load_file, save_file
from test_speech import write_wav

from eartalk_jax.checkpoints.checkpoint_files import checkpoints_of
from eartalk_jax.checkpoints.checkpoint_reading import load_ema, load_items
from eartalk_jax.errors import UserError
from eartalk_jax.export import importing, modeling_eartalk
from eartalk_jax.export.exporting import export_folder
from eartalk_jax.export.importing import import_folder
from eartalk_jax.export.verification import compare_config, verify
from eartalk_jax.generate import load_generator
from eartalk_jax.speech import features
from launch import checkpoint, export_torch, verify_export

SPEECH = np.random.default_rng(0).normal(0, 0.1, 640 * 12).astype(np.float32)
PORTRAIT = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
WISHES = {"emotion": {0: "sad", 5: None}, "pose": {3: [0.5, -1, 0]}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """(work directory, exported folder) of a run with random weights."""
  folder = tmp_path_factory.mktemp("made")
  exported.make_run(folder / "run")
  export_folder(folder / "run", folder / "out")
  return folder / "run", folder / "out"


@pytest.fixture
def copied(made, tmp_path):
  """A copy of the folder, to be spoilt."""
  return pathlib.Path(shutil.copytree(made[1], tmp_path / "copied"))


def command(name, *words, **settings):
  """Runs a command of ours as users do."""
  root = pathlib.Path(__file__).parents[1]
  return subprocess.run(
    [sys.executable, "-m", f"launch.{name}", *map(str, words)],
    cwd=root,
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    **settings,
  )


def test_three_lines_in_a_process_without_jax_make_the_frames_of_jax(
  made, tmp_path
):
  run, folder = made[0], tmp_path / "out"
  done = command("export_torch", "--checkpoint", run, "--out", folder)
  assert (done.returncode, done.stderr) == (0, "")
  np.savez(tmp_path / "in.npz", portrait=PORTRAIT, speech=SPEECH)
  script = f"""
import sys
sys.modules["jax"] = sys.modules["eartalk_jax"] = None
import numpy as np
given = np.load("in.npz")
from modeling_eartalk import EARTalking
model = EARTalking.from_pretrained({str(folder)!r})
inputs = given["portrait"], given["speech"]
frames = list(model.generate(*inputs, {WISHES}, seed=9))
np.save("frames.npy", np.stack(frames))
"""
  subprocess.run(
    [sys.executable, "-c", script],
    cwd=tmp_path,
    check=True,
    env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]},
  )
  generator = load_generator(run)
  pose_TK = np.tile(np.float32([0.5, -1, 0]), (12, 1))
  controls = {"pose": pose_TK[None], "emotion": np.full((1, 12, 1), 2.0)}
  frame_T = np.arange(12)
  given = {"pose": frame_T[None] >= 3, "emotion": frame_T[None] < 5}
  heard = features(generator.speech, SPEECH)
  chunks = generator.generate(
    PORTRAIT[None], heard[None], controls, given, seeds=[9]
  )
  expected = np.concatenate([chunk[0] for chunk in chunks])
  frames = np.load(tmp_path / "frames.npy")
  assert frames.shape == expected.shape == (12, 16, 16, 3)
  assert np.abs(frames.astype(int) - expected).max() <= 1
  assert np.abs(np.diff(frames.astype(int), axis=0)).max() > 10


def test_the_example_makes_a_video_of_files(made, tmp_path):
  Image.fromarray(PORTRAIT).resize((40, 40)).save(tmp_path / "face.png")
  write_wav(tmp_path / "speech.wav", SPEECH)
  words = ["--portrait", "face.png", "--audio", "speech.wav", "--out", "o.mp4"]
  wish = ["--controls", '{"emotion": {"0": "happy"}}']
  done = subprocess.run(
    [sys.executable, made[1] / "example.py", *words, *wish],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.stdout == "o.mp4: 12 frames\n", done.stderr
  with av.open(tmp_path / "o.mp4") as file:
    sizes = [(f.width, f.height) for f in file.decode(video=0)]
  assert sizes == [(16, 16)] * 12


@pytest.mark.parametrize(
  "variant", ["flow", pytest.param("masked, cyclic", marks=pytest.mark.proof)]
)
def test_the_proof_tool_agrees_and_says_how_well(tmp_path, variant):
  exported.make_run(tmp_path / "run", variant)
  export_folder(tmp_path / "run", tmp_path / "out", weights="raw")
  figures = verify(tmp_path / "run", tmp_path / "out", frames=30)
  assert figures["failures"] == []
  assert figures["wraps"] >= 3
  assert 0 < figures["layer_max_rel"] <= 1e-5
  assert 0 < figures["first_frame_max_abs"] <= 1e-5
  assert figures["pixels_max_levels"] <= 1
  # Every layer, and parts of all kinds, were listened to.
  heard = set(figures["layers"])
  assert {f"layers.{i}.mlp.down" for i in range(3)} <= heard
  assert {"conditions.hearing.conv.0", "tokenizer.decoder.out"} <= heard
  assert {"head.layers.0.attention.query"} <= heard


def test_bfloat16_is_stored_and_proved(made, tmp_path):
  export_folder(made[0], tmp_path / "out", dtype="bfloat16")
  stored = load_file(tmp_path / "out" / "model.safetensors")
  assert {str(x.dtype) for x in stored.values()} == {"bfloat16"}
  assert verify(made[0], tmp_path / "out", frames=3)["failures"] == []


def leaves(config, path=()):
  """The path of every number, word or list in config.json."""
  if isinstance(config, dict):
    return [p for k, v in config.items() for p in leaves(v, (*path, k))]
  if config and isinstance(config, list) and isinstance(config[0], dict):
    return [p for i, v in enumerate(config) for p in leaves(v, (*path, i))]
  return [path]


def spoil(value):
  """Something else of the same type."""
  if isinstance(value, str):
    return {"relative": "cyclic", "flow": "masked"}.get(value, value + "x")
  if isinstance(value, list):
    return [spoil(one) for one in value] or ["sink"]
  return value + 1 if value >= 0 else value - 1


def test_any_key_changed_in_config_json_is_refused_or_caught(made, copied):
  run, folder = made
  config = json.loads((folder / "config.json").read_text())
  paths = leaves(config)
  assert len(paths) > 70
  for path in paths:
    changed = copy.deepcopy(config)
    *above, last = path
    node = changed
    for key in above:
      node = node[key]
    node[last] = spoil(node[last])
    (copied / "config.json").write_text(json.dumps(changed))
    try:
      exported.load(copied)
    except (ValueError, RuntimeError, TypeError):
      continue
    try:
      failures = compare_config(run, copied)
    except UserError as error:  # a step that there is not
      failures = [str(error)]
    assert any(str(last) in failure for failure in failures), path


MATTERS = {
  "fps", "rotary_base", "sink_distance", "norm_eps", "sinusoid_top_rate",
  "positions", "level_eps", "floor", "scale", "hop", "n_fft",
  "sampling_level", "steps", "spread", "shift", "temperature", "latent_mean",
  "latent_std",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MATTERS))
def test_pytorch_reads_every_number_and_uses_none_of_its_own(
  made, copied, name
):
  """A number in config.json that is changed changes frames, or is refused."""

  def latents(folder):
    stream = modeling_eartalk.Stream(exported.load(folder), PORTRAIT)
    stream.push(SPEECH)
    pictures = [float(frame.sum()) for frame in stream.pull()]
    return [*pictures, *stream.state.previous_BNc.flatten().tolist()]

  config = json.loads((copied / "config.json").read_text())
  both = (config, config["tokenizer"])
  parts = ("audio", "speech", "head", "history")
  nodes = [*both, *(config[part] for part in parts)]
  for node in nodes:
    if name in node and not (name == "steps" and "bins" in node):
      node[name] = spoil(node[name])
  (copied / "config.json").write_text(json.dumps(config))
  path = copied / "tokenizer" / "config.json"
  path.write_text(json.dumps(config["tokenizer"]))
  try:
    changed = latents(copied)
  except (ValueError, RuntimeError):
    return
  assert changed != latents(made[1])


@pytest.mark.parametrize(
  "damage", ["missing", "extra", "transposed", "changed"]
)
def test_wrong_tensors_are_refused_or_caught(made, copied, damage):
  path = copied / "model.safetensors"
  tensors = load_file(path)
  name = "layers.1.attention.query.weight"
  if damage == "missing":
    del tensors[name]
  elif damage == "extra":
    tensors["layers.9.bias"] = np.zeros(3, np.float32)
  elif damage == "transposed":
    tensors[name] = np.ascontiguousarray(tensors[name].T)
  else:
    tensors[name][0, 0] += 1e-3
  save_file(tensors, path)
  figures = verify(made[0], copied, frames=2)
  text = " ".join(figures["failures"])
  assert ("layers.9.bias" if damage == "extra" else name) in text
  if damage in ("missing", "extra"):
    with pytest.raises(ValueError, match="layers"):
      exported.load(copied)
    with pytest.raises(UserError, match="layers"):
      import_folder(copied, copied / "back")
    assert not (copied / "back").exists()
  if damage == "transposed":
    assert "layer_max_rel" in text


def test_a_renamed_tensor_of_a_tokenizer_is_refused(copied):
  path = copied / "tokenizer" / "model.safetensors"
  tensors = load_file(path)
  tensors["encoder.Out.weight"] = tensors.pop("encoder.out.weight")
  save_file(tensors, path)
  with pytest.raises(ValueError, match="encoder.Out.weight"):
    exported.load(copied)


def test_every_tensor_comes_back_to_the_bit(made, tmp_path):
  run, folder = made
  exported.load(folder).save_pretrained(tmp_path / "saved")
  for source in (folder, tmp_path / "saved"):
    back = tmp_path / f"back of {source.name}"
    assert import_folder(source, back) == exported.STEP
    step, ema = load_ema(back)
    _, expected = load_ema(run)
    assert step == exported.STEP
    jax.tree.map(np.testing.assert_array_equal, ema, expected)
    theirs, ours = load_generator(back), load_generator(run)
    assert theirs.fingerprint == ours.fingerprint
    export_folder(back, tmp_path / f"again {source.name}")
    again = tmp_path / f"again {source.name}" / "model.safetensors"
    assert again.read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_config_that_the_model_here_cannot_follow_is_not_imported(copied):
  config = json.loads((copied / "config.json").read_text())
  config["rotary_base"] = 10_000.0
  (copied / "config.json").write_text(json.dumps(config))
  with pytest.raises(UserError, match="rotary_base"):
    import_folder(copied, copied / "back")


def test_training_begins_with_imported_weights(tmp_path, monkeypatch):
  monkeypatch.setattr(importing, "to_dict", lambda model: model)
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(tiny.init_params, jax.random.key(0))
  params = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32), shapes
  )

  class Words:
    fingerprint = "t"

  (tmp_path / "weights").mkdir()
  directory = checkpoints_of(tmp_path / "weights") / "30"
  importing._save(directory, params, "regression", Words)
  data = load_items(directory, {"data": None})["data"]
  assert data["fingerprint"] == {"model": "regression", "tokenizer": "t"}
  assert checkpoint._inspect(directory, with_config=True) == 0
  start = {"start_from": f"{tmp_path}/weights@30", "save_every": 1}
  run = tiny.run_config(steps=1, keep=5, **start)
  print_of_it = {"fingerprint": {"model": "regression", "tokenizer": "t"}}
  state = tiny.train(tmp_path / "on", run, **print_of_it)
  assert int(state.step) == 1
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.params, params)
  assert 0 < max(jax.tree.leaves(moved)) <= 2 * run.optimizer.peak_lr
  other = {"fingerprint": {"model": "another", "tokenizer": "t"}}
  with pytest.raises(UserError, match="another"):
    tiny.train(tmp_path / "other", run, **other)
  with pytest.raises(UserError, match="start_from"):
    tiny.train(tmp_path / "weights", tiny.run_config(), **print_of_it)


def test_what_is_no_checkpoint_is_named(made, tmp_path):
  run, folder = made
  for words, name in (
    (("--checkpoint", tmp_path, "--out", tmp_path / "x"), "config.json"),
    (("--checkpoint", run, "--out", folder), "already"),
    (("--checkpoint", run, "--out", tmp_path / "x", "--step", 3), "no step 3"),
  ):
    with pytest.raises(UserError, match=name) as raised:
      export_torch.main([*map(str, words)])
    assert "\n" not in str(raised.value)
  assert not (tmp_path / "x").exists()


def test_a_damaged_checkpoint_is_not_exported(made, tmp_path):
  run = shutil.copytree(made[0], tmp_path / "run")
  (part,) = {max((run / "checkpoints" / "7" / "ema").rglob("*"), key=_size)}
  content = part.read_bytes()
  part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
  with pytest.raises(UserError, match="damaged"):
    export_folder(run, tmp_path / "out")
  assert [p.name for p in tmp_path.iterdir()] == ["run"]


def _size(path):
  return path.stat().st_size if path.is_file() else 0


def test_a_full_disk_leaves_no_folder(made, tmp_path, monkeypatch):
  def full(*args):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("eartalk_jax.export.exporting.write_card", full)
  with pytest.raises(UserError, match="No space left"):
    export_folder(made[0], tmp_path / "out")
  assert list(tmp_path.iterdir()) == []


def test_verify_tells_by_its_status(made, copied, capsys):
  tensors = load_file(copied / "model.safetensors")
  tensors["guess.weight"] *= 1.01
  save_file(tensors, copied / "model.safetensors")
  words = ["--checkpoint", str(made[0]), "--frames", "2", "--export"]
  figures = copied.parent / "figures.json"
  assert verify_export.main([*words, str(copied), "--json", str(figures)]) == 1
  assert "guess.weight is not the checkpoint's" in capsys.readouterr().out
  found = json.loads(figures.read_text())
  assert {
    "layer_max_rel",
    "first_frame_max_abs",
    "frame_250_max_abs",
    "pixels_max_levels",
  } <= found.keys()
  with pytest.raises(UserError, match="config.json"):
    verify_export.main([*words, str(copied / "tokenizer")])


def test_parameters_are_read_one_at_a_time(made):
  from eartalk_jax.checkpoints.checkpoint_reading import open_arrays

  source = checkpoints_of(made[0]) / "7"
  shapes, arrays = open_arrays(source, "state", "params/")
  found = dict(arrays)
  _, ema = load_ema(made[0])
  expected = traverse_util.flatten_dict(ema, sep="/")
  assert {k: x.shape for k, x in found.items()} == shapes
  assert found.keys() == expected.keys()
  for name, array in found.items():
    assert isinstance(array, np.ndarray)
    np.testing.assert_allclose(array, 0.9 * expected[name], rtol=1e-6)
