import json
import types

import numpy as np
import pytest
from fake_talkers import MANIFEST, SIZE, FakeGenerator, Pixels, records

from eartalk_jax.errors import UserError
from launch import evaluate


def dataset(directory, has=True, **config):
  return types.SimpleNamespace(
    directory=directory,
    manifest=MANIFEST | {"config": {"size": SIZE} | config},
    source=records(4, has=has),
    fingerprint="some data",
  )


def arguments(tmp_path, *more):
  words = ["--checkpoint", str(tmp_path / "talker"), "--data", "held_out"]
  words += ["--out", str(tmp_path / "out"), "--frames", "30", *more]
  return evaluate._arguments(words)


@pytest.fixture
def known_probe(monkeypatch, tmp_path):
  monkeypatch.setattr(evaluate, "probe_for", lambda *unused: Pixels())
  monkeypatch.setattr(
    evaluate, "open_dataset", lambda directory, kind: dataset(directory)
  )


def test_everything_is_written(tmp_path, known_probe):
  args = arguments(tmp_path, "--probe-data", "frames")
  evaluate.evaluate(args, FakeGenerator(), dataset("held_out"), 8)
  out = tmp_path / "out"
  metrics = json.loads((out / "metrics.json").read_text())
  asked = """tokenizer_psnr_db tokenizer_ssim lip lip_ceiling lip_copy_baseline
  lip_wrong_audio_own lip_wrong_audio_driving yaw pitch roll emotion
  emotion_ceiling own_portrait_nearest lip_first_tenth lip_last_tenth
  motion_ratio"""
  assert set(asked.split()) <= set(metrics)
  assert metrics["lip"] > 0.99
  for name in ("mouths.png", "drift.png", "strips.png"):
    assert (out / name).read_bytes().startswith(b"\x89PNG")
  with np.load(out / "arrays.npz") as arrays:
    assert arrays["strip_own"].shape == (2, 8, SIZE, SIZE, 3)
    assert arrays["mouth_own"].shape == (4, 30)
    assert arrays["mouth_wrong"].shape == (2, 30)


def test_no_truth_gives_a_message_and_figures_of_pictures(tmp_path, capsys):
  args = arguments(tmp_path)
  held_out = dataset("held_out", has=False)
  metrics = evaluate.evaluate(args, FakeGenerator(), held_out, 8)
  assert "has no truth" in capsys.readouterr().out
  assert metrics["motion_ratio"] > 0
  assert not (tmp_path / "out" / "mouths.png").exists()


def test_data_of_another_kind_is_refused_with_the_remedy(tmp_path):
  args = arguments(tmp_path)
  with pytest.raises(UserError, match="--size 16"):
    evaluate.evaluate(args, FakeGenerator(), dataset("d", size=32), 8)


def test_probe_data_is_what_the_talker_was_trained_on(tmp_path):
  frames, tokens = tmp_path / "frames", tmp_path / "tokens"
  for directory in (frames, tokens, tmp_path / "talker"):
    directory.mkdir()
  manifest = {"kind": "tokens", "version": 2, "source_dir": str(frames)}
  manifest |= {"config": {}, "categories": {}, "track_sizes": {}}
  manifest |= {"fingerprint": "f", "dropped": [], "shards": []}
  (tokens / "manifest.json").write_text(json.dumps(manifest))
  config = {"data": {"tokens": str(tokens)}, "model": {}, "categories": {}}
  (tmp_path / "talker" / "config.json").write_text(json.dumps(config))
  args = arguments(tmp_path)
  assert evaluate._probe_data(args) == str(frames)
  frames.rmdir()
  with pytest.raises(UserError, match="are gone; .*--probe-data"):
    evaluate._probe_data(args)
  (tokens / "manifest.json").unlink()
  with pytest.raises(UserError, match="--probe-data"):
    evaluate._probe_data(args)


def test_a_checkpoint_that_is_none_is_named(tmp_path):
  words = ["--checkpoint", str(tmp_path), "--data", "d"]
  with pytest.raises(UserError, match="not the work directory of a run"):
    evaluate.main([*words, "--out", str(tmp_path / "out")])
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [None, 3, {}, {"frames": "8"}, {"frames": -1}])
def test_a_run_that_does_not_say_its_window_is_named(tmp_path, data):
  config = {"model": {}, "categories": {}, "data": data}
  (tmp_path / "config.json").write_text(json.dumps(config))
  with pytest.raises(UserError, match=r"config.json is damaged: .*frames"):
    evaluate._window(tmp_path)
  args = arguments(tmp_path)
  args.checkpoint, args.probe_data = str(tmp_path), None
  with pytest.raises(UserError, match="--probe-data"):
    evaluate._probe_data(args)


def test_too_few_clips_are_refused():
  with pytest.raises(UserError, match="--clips.*from 2"):
    evaluate._arguments(
      ["--checkpoint", "c", "--data", "d", "--out", "o", "--clips", "1"]
    )
