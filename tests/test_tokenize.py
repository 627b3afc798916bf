"""From frame shards to token shards: content, reruns, stale folders."""

import dataclasses
import json
import os

import numpy as np
import pytest
from autoencoders import CONFIG, random_params
from frames import write_frames

from data_pipelines import tokenize as tokenize_module
from data_pipelines.shards import open_dataset
from data_pipelines.tokenize import tokenize
from eartalk_jax.errors import UserError
from eartalk_jax.locks import lock
from eartalk_jax.speech import describe, features, load_speech, open_speech
from eartalk_jax.tokenizers.coding import encode
from eartalk_jax.tokenizers.patches import PatchTokenizer

MEL = open_speech("mel:5")


@pytest.fixture(scope="module")
def tokenizer():
  zeros_C = np.zeros(CONFIG.channels, np.float32)
  return PatchTokenizer(CONFIG, random_params(), zeros_C, np.float32(1))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
  return write_frames(tmp_path_factory.mktemp("frames") / "frames")


def written(directory):
  """Name -> (bytes, time of writing) of all shards."""
  paths = directory.glob("tokens-*")
  return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}


def test_every_clip_is_kept_with_latents_for_pictures(
  tmp_path, frames, tokenizer
):
  manifest = tokenize(frames, tokenizer, MEL, tmp_path / "tokens")
  assert manifest["latent_shape"] == [2, 2, 4]
  assert manifest["tokenizer_fingerprint"] == tokenizer.fingerprint
  assert manifest["source_fingerprint"] == frames.fingerprint
  assert manifest["source_dir"] == str(frames.directory)
  assert manifest["speech"] == describe(MEL)
  assert load_speech(tmp_path / "tokens" / "speech").fingerprint == (
    MEL.fingerprint
  )
  assert (manifest["clips"], manifest["frames"]) == (6, 34)
  tokens = open_dataset(tmp_path / "tokens", "tokens")
  assert len(tokens.source) == len(frames.source)
  for index in range(len(frames.source)):
    clip, record = frames.source[index], tokens.source[index]
    expected = encode(tokenizer, clip["frames"][None])[0]
    assert record["latents"].dtype == np.float16
    np.testing.assert_allclose(
      record["latents"], expected, rtol=2e-3, atol=2e-3
    )
    dropped = {"frames", "audio"}
    assert record.keys() == clip.keys() - dropped | {"latents", "features"}
    np.testing.assert_array_equal(
      record["features"], features(MEL, clip["audio"])
    )
    for name in clip.keys() - dropped:
      np.testing.assert_array_equal(record[name], clip[name])


def test_a_mirrored_clip_follows_its_own(tmp_path, frames, tokenizer):
  manifest = tokenize(frames, tokenizer, MEL, tmp_path, mirror=True)
  assert (manifest["clips"], manifest["frames"]) == (12, 68)
  tokens = open_dataset(tmp_path, "tokens").source
  for index in range(len(frames.source)):
    clip = frames.source[index]
    record, mirrored = tokens[2 * index], tokens[2 * index + 1]
    expected = encode(tokenizer, clip["frames"][None, :, :, ::-1])[0]
    np.testing.assert_allclose(
      mirrored["latents"], expected, rtol=2e-3, atol=2e-3
    )
    assert np.abs(record["latents"] - expected).max() > 0.01
    np.testing.assert_array_equal(mirrored["features"], record["features"])
    assert record["clip_id"] == clip["clip_id"] != mirrored["clip_id"]


def test_mirrored_tracks_change_their_signs():
  record = tokenize_module._mirrored(
    {
      "clip_id": "a",
      "frames": np.zeros((1, 4, 4, 3), np.uint8),
      "tracks/pose": np.float32([[0.1, 0.2, 0.3]]),
      "tracks/gaze": np.float32([[0.4, 0.5]]),
      "tracks/mouth": np.float32([[0.6, 0.7, 0.8]]),
    }
  )
  pose, gaze = np.float32([[-0.1, 0.2, -0.3]]), np.float32([[-0.4, 0.5]])
  np.testing.assert_array_equal(record["tracks/pose"], pose)
  np.testing.assert_array_equal(record["tracks/gaze"], gaze)
  mouth = np.float32([[0.6, 0.7, 0.8]])
  np.testing.assert_array_equal(record["tracks/mouth"], mouth)


def test_an_unknown_track_has_no_mirror(tmp_path, frames, tokenizer):
  sizes = {**frames.manifest["track_sizes"], "ears": 2}
  manifest = {**frames.manifest, "track_sizes": sizes}
  eared = dataclasses.replace(frames, manifest=manifest)
  with pytest.raises(UserError, match="'ears'.*--mirror"):
    tokenize(eared, tokenizer, MEL, tmp_path / "out", mirror=True)
  assert not (tmp_path / "out").exists()


def test_clips_of_one_call_do_not_mix(tmp_path, frames, tokenizer, monkeypatch):
  tokenize(frames, tokenizer, MEL, tmp_path / "together")
  monkeypatch.setattr(tokenize_module, "_TOGETHER", 1)
  tokenize(frames, tokenizer, MEL, tmp_path / "alone")
  together = open_dataset(tmp_path / "together", "tokens").source
  alone = open_dataset(tmp_path / "alone", "tokens").source
  for index in range(len(together)):
    np.testing.assert_allclose(
      together[index]["latents"], alone[index]["latents"], atol=5e-3
    )


def test_a_rerun_writes_nothing(tmp_path, frames, tokenizer):
  first = tokenize(frames, tokenizer, MEL, tmp_path)
  before = written(tmp_path)
  assert tokenize(frames, tokenizer, MEL, tmp_path) == first
  assert written(tmp_path) == before


def test_an_interrupted_run_goes_on_to_the_same_bytes(
  tmp_path, frames, tokenizer, monkeypatch
):
  whole = tokenize(frames, tokenizer, MEL, tmp_path / "whole")
  write_shard = tokenize_module.shards.write_shard

  def fail_at_second(path, *args):
    if "00001" in path.name:
      raise UserError("disk full")
    return write_shard(path, *args)

  monkeypatch.setattr(tokenize_module.shards, "write_shard", fail_at_second)
  with pytest.raises(UserError, match="disk full"):
    tokenize(frames, tokenizer, MEL, tmp_path / "parts")
  with pytest.raises(UserError, match="no finished tokens"):
    open_dataset(tmp_path / "parts", "tokens")
  first = written(tmp_path / "parts")
  assert len(first) == 1
  monkeypatch.undo()
  assert tokenize(frames, tokenizer, MEL, tmp_path / "parts") == whole
  after = written(tmp_path / "parts")
  assert first.items() <= after.items()
  assert {name: content for name, (content, _) in after.items()} == {
    name: content for name, (content, _) in written(tmp_path / "whole").items()
  }


def test_a_damaged_shard_is_made_again(tmp_path, frames, tokenizer):
  tokenize(frames, tokenizer, MEL, tmp_path)
  before = written(tmp_path)
  path = sorted(tmp_path.glob("tokens-*"))[1]
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  tokenize(frames, tokenizer, MEL, tmp_path)
  after = written(tmp_path)
  assert {n: c for n, (c, _) in after.items()} == {
    n: c for n, (c, _) in before.items()
  }


def test_other_weights_or_pictures_are_refused(tmp_path, frames, tokenizer):
  tokenize(frames, tokenizer, MEL, tmp_path / "tokens")
  other = dataclasses.replace(tokenizer, std=2 * tokenizer.std)
  with pytest.raises(UserError, match="stale: tokenizer was"):
    tokenize(frames, other, MEL, tmp_path / "tokens")
  with pytest.raises(UserError, match="stale: speech was"):
    tokenize(frames, tokenizer, open_speech("mel:6"), tmp_path / "tokens")
  fewer = write_frames(tmp_path / "fewer", [[3]])
  with pytest.raises(UserError, match="stale: frames was"):
    tokenize(fewer, tokenizer, MEL, tmp_path / "tokens")


def test_a_folder_with_something_else_is_left_alone(
  tmp_path, frames, tokenizer
):
  (tmp_path / "holiday.txt").write_text("mine")
  with pytest.raises(UserError, match="not empty"):
    tokenize(frames, tokenizer, MEL, tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ["holiday.txt"]


def test_pictures_of_another_size_are_refused(tmp_path, frames, tokenizer):
  config = dataclasses.replace(CONFIG, size=24)
  other = dataclasses.replace(
    tokenizer, config=config, params=random_params(config)
  )
  with pytest.raises(UserError, match="--size 24"):
    tokenize(frames, other, MEL, tmp_path / "tokens")


def test_clips_that_a_filter_dropped_get_no_tokens(tmp_path, tokenizer):
  frames = write_frames(tmp_path / "frames", dropped=[1, 2])
  manifest = tokenize(frames, tokenizer, MEL, tmp_path / "tokens")
  assert manifest["clips"] == 4
  tokens = open_dataset(tmp_path / "tokens", "tokens")
  names = [tokens.source[i]["clip_id"] for i in range(len(tokens.source))]
  assert names == ["clip-0", "clip-3", "clip-4", "clip-5"]
  job = json.loads((tmp_path / "tokens/job.json").read_text())
  assert job.keys() == {
    "version",
    "mirror",
    "frames",
    "tokenizer",
    "speech",
    "latent_shape",
  }


def test_what_a_killed_command_left_is_removed(tmp_path, frames, tokenizer):
  tokenize(frames, tokenizer, MEL, tmp_path)
  leftovers = [
    tmp_path / ".tokens-clips.array_record-00000-of-00002.1234.tmp",
    tmp_path / ".manifest.json.1234.tmp",
    tmp_path / ".done" / ".tokens-clips.array_record-00000-of-00002.json.1.tmp",
  ]
  for path in leftovers:
    path.write_text("half")
  tokenize(frames, tokenizer, MEL, tmp_path)
  assert not any(path.exists() for path in leftovers)


def test_a_second_command_is_refused(tmp_path, frames, tokenizer):
  held = lock(tmp_path)
  with pytest.raises(UserError, match="another command is at work in"):
    tokenize(frames, tokenizer, MEL, tmp_path)
  os.close(held)
  assert not list(tmp_path.iterdir())


def test_the_frames_are_never_the_output(tmp_path, frames, tokenizer):
  (tmp_path / "link").symlink_to(frames.directory)
  before = sorted(frames.directory.iterdir())
  for out in (frames.directory, tmp_path / "link"):
    with pytest.raises(UserError, match="what the command reads"):
      tokenize(frames, tokenizer, MEL, out)
  assert sorted(frames.directory.iterdir()) == before


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000])
def test_damaged_notes_are_named_or_written_again(
  tmp_path, frames, tokenizer, text
):
  tokenize(frames, tokenizer, MEL, tmp_path)
  job = (tmp_path / "job.json").read_text()
  (tmp_path / "job.json").write_text(text)
  with pytest.raises(UserError, match="job.json.* delete"):
    tokenize(frames, tokenizer, MEL, tmp_path)
  (tmp_path / "job.json").write_text(job)
  note = next((tmp_path / ".done").glob("*.json"))
  note.write_text(text)
  before = (tmp_path / "manifest.json").read_bytes()
  tokenize(frames, tokenizer, MEL, tmp_path)
  assert (tmp_path / "manifest.json").read_bytes() == before
