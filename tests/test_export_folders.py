"""Folders that others hand over: loaded whole, or an error of one line."""

import json
import os
import pathlib
import shutil

import exported
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.errors import UserError
from eartalk_jax.export.card import write_card
from eartalk_jax.export.exporting import export_folder
from eartalk_jax.export.folders import load_module, open_tensors
from eartalk_jax.export.importing import import_folder
from eartalk_jax.export.modeling_eartalk import parse_json
from launch import verify_export

HUGE = "1" + 400 * "0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  return exported.torch_folder(tmp_path_factory.mktemp("folder") / "out")


@pytest.fixture
def copied(made, tmp_path):
  """A copy of the folder, to be spoilt."""
  return pathlib.Path(shutil.copytree(made, tmp_path / "copied"))


def refused(function, *words):
  """The message, of one line."""
  with pytest.raises((ValueError, OSError)) as caught:
    function(*words)
  message = str(caught.value)
  assert len(message.splitlines()) == 1
  assert len(message) < 500
  return message


BAD_JSON = {
  "cut": '{"a": ',
  "twice": '{"a": 1, "a": 2}',
  "twice below": '[{"b": {"a": 1, "a": 2}}]',
  "nan": '{"a": NaN}',
  "infinity": '{"a": -Infinity}',
  "overflow": '{"a": 1e999}',
  "huge": f'{{"a": {HUGE}}}',
  "huger": f'{{"a": {"9" * 5000}}}',
  "deep": "[" * 100_000,
  "deep objects": '{"a":' * 100_000,
  "empty": "",
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_json_is_read_strictly(kind, copied):
  refused(parse_json, BAD_JSON[kind], "it")
  for name in ("config.json", "tokenizer/config.json"):
    path = copied / name
    kept = path.read_text()
    path.write_text(BAD_JSON[kind])
    assert name in refused(exported.load, copied)
    path.write_text(kept)


def test_json_in_other_bytes_is_a_line(copied):
  for content in (b'{"a": "\xff"}', b"\0\1\2", "{}".encode("utf-16")):
    (copied / "config.json").write_bytes(content)
    assert "not a JSON file" in refused(exported.load, copied)


def changed(copied, where, value):
  """Sets a dotted key in config.json, and in the tokenizer's if it is there."""
  paths = [(copied / "config.json", where.split("."))]
  if where.startswith("tokenizer."):
    paths.append((copied / "tokenizer/config.json", where.split(".")[1:]))
  for path, (*above, last) in paths:
    config = node = json.loads(path.read_text())
    for key in above:
      node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value
    path.write_text(json.dumps(config))


ABSURD = {
  "width": [10**12, 0, -16, 15, 16.0, "16", True, None, [16], 10**30, 18],
  "depth": [10**9, 0, True, 1025],
  "heads": [0, 3, 10**9],
  "window": [0, 10**9, 1.5],
  "sinks": [0],
  "patch": [0, 3],
  "latent_shape": [[4, 4], [], 4, ["4", 4, 2], [4, 0, 2], [10**12] * 3],
  "without": [["x"], "sink", [["sink"]], {}],
  "fps": [0, 24],
  "sink_rank": [0],
  "norm_eps": [0, -1.0, "1"],
  "rotary_base": [0],
  "patterns": [0],
  "mlp_ratio": [0],
  "trained_steps": ["/elsewhere/7", -1, True, 1.5, 10**30, None],
  "architectures": [[3], "EARTalking"],
  "dtype": ["int8", "float64", 3],
  "controls": [{}, "x", [3], [[]]],
  "controls.0.name": ["", "a.b", 3, "emotion"],
  "controls.0.size": [0, 10**12],
  "controls.0.low": [2.0],
  "controls.1.categories": ["sad", [1, 2], ["a"] * 5],
  "audio": [3, [], None],
  "speech.hop": [0, 159],
  "speech.n_fft": [0, 10**9],
  "speech.kind": ["x", 3, None],
  "audio.sample_rate": [0, 10**9, 8000],
  "speech": [3, {}],
  "speech.floor": [0],
  "speech.scale": [0],
  "stride": [0, 2, 101, True],
  "audio.steps": [0, 10**9],
  "audio.past": [-1, 10**9],
  "audio.convolutions": [0, 10**9],
  "head": [3, {"kind": "masked"}, {"kind": "x"}],
  "head.steps": [0, 10**9],
  "head.width": [2, 10**12],
  "head.temperature": [-1, 1e30, 11],
  "head.shift": [0],
  "head.spread": [0, -1],
  "tokenizer": [3, {}, {"kind": "kl"}],
  "tokenizer.kind": ["x", 3],
  "tokenizer.size": [0, 10**12, 17],
  "tokenizer.patch": [0, 5],
  "tokenizer.heads": [0, 3],
  "tokenizer.latent_mean": [[], [0.1] * 3, ["x", "y"], 0.1],
  "tokenizer.latent_std": [0, -1],
  "tokenizer.encoder_depth": [10**9],
}


@pytest.mark.parametrize("where", ABSURD)
def test_numbers_that_no_model_has_are_refused_by_name(copied, where):
  for value in ABSURD[where]:
    shutil.copytree(copied, copied.parent / "one")
    changed(copied.parent / "one", where, value)
    message = refused(exported.load, copied.parent / "one")
    assert "config.json" in message, value
    assert where.split(".")[-1] in message or "divide" in message, message
    shutil.rmtree(copied.parent / "one")


@pytest.mark.parametrize("config", [3, [], "x", None, {}, {"width": 3}])
def test_a_config_of_another_shape_is_a_line(copied, config):
  (copied / "config.json").write_text(json.dumps(config))
  assert "config.json" in refused(exported.load, copied)


def split(copied, names=("a.safetensors", "b.safetensors")):
  """Makes two shards with an index of the weights; returns the index."""
  path = copied / "model.safetensors"
  tensors = load_file(path)
  order, parts = sorted(tensors), {}
  path.unlink()
  for shard, name in enumerate(names):
    parts[name] = order[shard::2]
    save_file({k: tensors[k] for k in parts[name]}, copied / name)
  return {k: name for name, part in parts.items() for k in part}


def write_index(copied, where):
  path = copied / "model.safetensors.index.json"
  path.write_text(json.dumps({"metadata": {}, "weight_map": where}))


def test_shards_are_loaded(copied, made):
  write_index(copied, split(copied))
  ours, theirs = exported.load(copied), exported.load(made)
  for name, tensor in theirs.state_dict().items():
    assert torch.equal(ours.state_dict()[name], tensor)


@pytest.mark.parametrize(
  "name",
  ["../b.safetensors", "/etc/b", "tokenizer/model.safetensors", "..", ".b", ""]
  + ["a\\b", 3, None, ["b"], "x\n"],
)
def test_an_index_names_files_of_its_folder_alone(copied, name):
  where = split(copied)
  shutil.copyfile(copied / "b.safetensors", copied.parent / "b.safetensors")
  write_index(copied, {k: name if f[0] == "b" else f for k, f in where.items()})
  assert "is no file of the folder" in refused(exported.load, copied)


def test_an_index_that_is_not_true_is_a_line(copied):
  where = split(copied)
  for wrong in (
    dict.fromkeys(where, "a.safetensors"),
    where | {"more": "a.safetensors"},
    {k: "gone" if f[0] == "b" else f for k, f in where.items()},
    [],
    "x",
    None,
    {},
  ):
    write_index(copied, wrong)
    refused(exported.load, copied)
  (copied / "model.safetensors.index.json").write_text("[]")
  refused(exported.load, copied)


def damaged(content):
  """Safetensors files that lie about themselves."""
  length = int.from_bytes(content[:8], "little")
  head = json.loads(content[8 : 8 + length])
  name = next(k for k in head if k != "__metadata__")

  def headed(text, said=None):
    said = len(text) if said is None else said
    return said.to_bytes(8, "little") + text + content[8 + length :]

  def with_(**changes):
    return headed(json.dumps(head | {name: head[name] | changes}).encode())

  yield from (b"", content[:5], content[:100], content[:-4], content + b"more")
  for said in (0, 1, length - 1, 2**40, 2**63, 2**64 - 1):
    yield headed(content[8 : 8 + length], said)
  for text in (b"[]", b"{", b"\xff\xfe", b'{"a":3}', b"[" * 100_000):
    yield headed(text)
  yield with_(data_offsets=[0, 2**60])
  yield with_(data_offsets=[8, 4])
  yield with_(shape=[2**62, 2**62])
  yield with_(shape=[-1])
  yield with_(dtype="F1")
  yield with_(dtype="I32")
  yield with_(dtype="BF16")


def test_damaged_weights_are_a_line(copied):
  path = copied / "model.safetensors"
  content = path.read_bytes()
  for spoilt in damaged(content):
    path.write_bytes(spoilt)
    assert str(copied) in refused(exported.load, copied)
  path.unlink()
  assert "model.safetensors" in refused(exported.load, copied)
  os.mkfifo(path)
  assert "model.safetensors" in refused(exported.load, copied)


@pytest.mark.parametrize("kind", [torch.int32, torch.float64, torch.bool])
def test_weights_of_other_types_are_refused(copied, kind):
  path = copied / "model.safetensors"
  save_file({k: v.to(kind) for k, v in load_file(path).items()}, path)
  assert "known: ('float32', 'bfloat16')" in refused(exported.load, copied)


def test_a_model_is_saved_where_it_came_from(copied):
  model = exported.load(copied)
  expected = {k: v.clone() for k, v in model.state_dict().items()}
  model.save_pretrained(copied)  # its tensors may be the very file's
  again = exported.load(copied)
  for name, tensor in expected.items():
    assert torch.equal(model.state_dict()[name], tensor)
    assert torch.equal(again.state_dict()[name], tensor)
  assert not [p for p in copied.rglob("*") if p.name.endswith(".tmp")]


def test_a_save_that_fails_leaves_what_was_there(copied, monkeypatch):
  model = exported.load(copied)
  before = {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()}

  def full(*args):
    pathlib.Path(args[1]).write_bytes(b"half")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("eartalk_jax.export.modeling_eartalk.save_file", full)
  with pytest.raises(OSError, match="No space"):
    model.save_pretrained(copied)
  after = {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()}
  assert after == before
  refused(model.half().save_pretrained, copied)


def test_a_config_made_in_python_is_checked_too(made):
  cfg = exported.load(made).cfg
  with pytest.raises(ValueError, match="temperature"):
    type(cfg.head)(**(vars(cfg.head) | {"temperature": np.nan}))


# --- The way back


def not_imported(copied):
  """The message; nothing may be made, inside of `--out` or elsewhere."""
  before = sorted(copied.parent.rglob("*"))
  with pytest.raises(UserError) as caught:
    import_folder(copied, copied.parent / "back")
  assert sorted(copied.parent.rglob("*")) == before
  assert len(str(caught.value).splitlines()) == 1
  return str(caught.value)


def test_a_folder_comes_back(made, tmp_path):
  assert import_folder(made, tmp_path / "back") == exported.STEP
  step, params = load_ema(tmp_path / "back")
  assert step == exported.STEP
  weights = exported.load(made).state_dict()
  guess = np.asarray(params["guess"]["kernel"]).T
  np.testing.assert_array_equal(guess, weights["guess.weight"])


def test_a_folder_of_before_comes_back(copied, tmp_path):
  """Of version 1, which knew one tokenizer and log-mel."""
  path = copied / "config.json"
  config = json.loads(path.read_text())
  config["format_version"] = config["tokenizer"]["format_version"] = 1
  del config["stride"], config["tokenizer"]["kind"], config["audio"]["states"]
  config["audio"] |= config.pop("speech")
  del config["audio"]["kind"]
  path.write_text(json.dumps(config))
  path = copied / "training.json"
  training = json.loads(path.read_text())
  del training["speech"]
  training["tokenizer"] = training["tokenizer"]["config"]
  path.write_text(json.dumps(training))
  assert import_folder(copied, tmp_path / "back") == exported.STEP


@pytest.mark.parametrize(
  "step",
  ["/elsewhere/7", "../7", "7", -1, True, 7.0, 10**30, None, [7], {}],
)
def test_a_step_that_is_no_number_names_no_folder(copied, step, tmp_path):
  if step == "/elsewhere/7":
    step = f"{tmp_path}/elsewhere/7"
  changed(copied, "trained_steps", step)
  assert "trained_steps" in not_imported(copied)


@pytest.mark.parametrize("name", ["config.json", "training.json"])
@pytest.mark.parametrize("kind", BAD_JSON)
def test_damaged_json_is_not_imported(copied, name, kind):
  (copied / name).write_text(BAD_JSON[kind])
  assert name in not_imported(copied)


@pytest.mark.parametrize(
  ("name", "where", "value"),
  [
    ("config.json", where, value)
    for where, values in {
      "width": [10**12, 65_536, 10**30, 0, "16", True, None],
      "depth": [10**9, 10_000, 0],
      "heads": [0, 10**6],
      "window": [0, 10**9],
      "latent_shape": [[65_536, 65_536, 2], [0, 4, 2], 4, [4]],
      "audio": [3, None],
      "audio.bins": [10**12, 4096],
      "controls": [3, "x", [3], {}],
      "controls.1.categories": [3, "sad"],
      "head": [3, {}, {"kind": []}],
      "head.denoiser_depth": [10**9],
      "tokenizer": [3, {}],
      "tokenizer.latent_mean": ["x", [], [1, [2]], [0.1] * 3],
      "tokenizer.latent_std": [0, -1, "x", None, [1]],
      "dtype": [3, "int8"],
      "weights": [[], 3],
    }.items()
    for value in values
  ]
  + [
    ("training.json", where, value)
    for where, values in {
      "run": [3, [], None, {}],
      "run.model": [3, [], {}, "x"],
      "run.fingerprints": [3, "x", None],
      "tokenizer": [3, [], {}],
      "tokenizer.kind": [3, "x", "kl", None],
      "tokenizer.config": [3, [], {}],
      "tokenizer.config.encoder_depth": [10_000, 10**12],
      "tokenizer.config.width": [65_536, 10**12],
      "tokenizer.config.size": [65_536, 10**12, 0],
      "speech": [3, [], {}, {"kind": "x", "config": {}}],
    }.items()
    for value in values
  ],
)
def test_absurd_configurations_are_not_imported(copied, name, where, value):
  path = copied / name
  config = node = json.loads(path.read_text())
  *above, last = where.split(".")
  for key in above:
    node = node[int(key)] if isinstance(node, list) else node[key]
  node[last] = value
  path.write_text(json.dumps(config))
  not_imported(copied)


def test_damaged_weights_are_not_imported(copied):
  path = copied / "model.safetensors"
  content = path.read_bytes()
  for spoilt in damaged(content):
    path.write_bytes(spoilt)
    with pytest.raises(UserError), open_tensors(copied) as (shapes, _):
      assert shapes["guess.weight"]
  path.unlink()
  os.mkfifo(path)
  assert "model.safetensors" in not_imported(copied)


def test_an_index_that_leads_elsewhere_is_not_imported(copied):
  where = split(copied)
  for name in ("../b.safetensors", "/etc/b", "", "..", 3, ["b"], None):
    write_index(copied, dict.fromkeys(where, name))
    assert "no file of the folder" in not_imported(copied)
  for wrong in ([], 3, None, "x", {}, where | {"more": "a.safetensors"}):
    write_index(copied, wrong)
    not_imported(copied)


def test_nothing_is_made_where_something_is(made, tmp_path):
  (tmp_path / "file").write_text("precious")
  (tmp_path / "link").symlink_to("nowhere")
  for out in ("file", "link", ".", "file/x", "x" * 300):
    with pytest.raises(UserError):
      import_folder(made, tmp_path / out)
    with pytest.raises(UserError):
      export_folder(tmp_path, tmp_path / out)
  with pytest.raises(UserError, match="among checkpoints"):
    export_folder(tmp_path, tmp_path / "checkpoints" / "9")
  assert (tmp_path / "file").read_text() == "precious"
  assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("text", ["1 / 0", "x = (", "import no_such_module"])
def test_a_module_that_fails_is_a_line(copied, text):
  (copied / "modeling_eartalk.py").write_text(text)
  with pytest.raises(UserError, match="does not run"):
    load_module(copied)


def test_a_card_of_a_damaged_run_is_a_line(made, tmp_path):
  config = json.loads((made / "config.json").read_text())
  with pytest.raises(UserError, match="damaged"):
    write_card(tmp_path, config, {"run": {}})


@pytest.mark.parametrize(
  ("option", "words"),
  [
    ("--frames=0", "--frames"),
    ("--frames=nan", "--frames"),
    ("--json=config.json", "reads"),
    ("--json=.", "folder"),
  ],
)
def test_the_proof_looks_at_its_options_first(
  copied, monkeypatch, option, words
):
  monkeypatch.chdir(copied)
  before = (copied / "config.json").read_bytes()
  with pytest.raises(UserError, match=words):
    verify_export.main(["--checkpoint", "run", "--export", ".", option])
  assert (copied / "config.json").read_bytes() == before
