"""Folders with odd names, links and pipes, and mistakes, as users meet them."""

import json
import os
import shutil
import sys

import clips
import numpy as np
import pytest
from videos import write_truth

from data_pipelines import ingest_apart
from data_pipelines.shards import open_dataset
from eartalk_jax.errors import UserError
from eartalk_jax.locks import lock
from launch import prepare

ODD = [
  b"caf\xe9.mp4",
  b"new\nline \x1b[31m.mp4",
  b"concat:good.mp4",
  b"-i.mp4",
  b"50%\\x41.MP4",
  "日本 語.m4v".encode(),
  b"x" * 251 + b".mp4",
]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
  path = tmp_path_factory.mktemp("video") / "good.mp4"
  clip = clips.Clip(clips.numbered(26), np.arange(26) / 25, clips.noise(1.04))
  return clips.write(path, clip)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
  """Runs the command in this process; returns what it prints."""

  def run(*flags, source=tmp_path / "in", out=tmp_path / "out"):
    line = [f"--out={out}", "--size=32", "--faces=whole", "--workers=1"]
    line += ["--min-zoom=0", *flags]
    line += [f"--input={source}"] if source else []
    monkeypatch.setattr(sys, "argv", ["prepare", *line])
    prepare.main()
    return capsys.readouterr().out

  (tmp_path / "in").mkdir()
  return run


def put(video, folder, *names):
  for name in names:
    shutil.copy(video, os.path.join(os.fsencode(folder), os.fsencode(name)))


def verdicts(out):
  lines = (out / "scores.jsonl").read_text().splitlines()
  return {line["source"]: line["reason"] for line in map(json.loads, lines)}


def test_names_of_any_bytes_are_kept_or_rejected_and_stop_nobody(
  video, run, tmp_path
):
  folder = tmp_path / "in"
  put(video, folder, "good.mp4", *ODD)
  put(video, folder, "a.txt", "b.jpg")
  os.mkfifo(folder / "pipe.mp4")
  os.mkfifo(folder / "good.truth.json")
  (folder / "broken.mp4").symlink_to("nowhere")
  (folder / "empty.mp4").write_text("")
  (folder / "loop").symlink_to(".")
  said = run()
  assert "passed over by their endings: 1 .txt, 1 .jpg" in said
  got = verdicts(tmp_path / "out")
  assert got.pop("pipe.mp4") == got.pop("broken.mp4") == "not_a_file"
  assert got.pop("empty.mp4") == "not_a_video"
  assert got.pop("good.mp4") == "bad_truth"
  print(
    got[r"caf\xe9.mp4"], (tmp_path / "out" / "scores.jsonl").read_text()[-900:]
  )
  assert got == dict.fromkeys(
    [
      r"caf\xe9.mp4",
      r"new\x0aline \x1b[31m.mp4",
      "concat:good.mp4",
      "-i.mp4",
      r"50%\\x41.MP4",
      "日本 語.m4v",
      "x" * 251 + ".mp4",
    ]
  )
  source = open_dataset(tmp_path / "out", "frames").source
  assert {source[i]["source"] for i in range(len(source))} == set(got)
  assert "0 shards made" in run()
  assert run(source=None)


@pytest.mark.parametrize(
  "flag",
  [
    "--max-clip-seconds=nan",
    "--max-clip-seconds=inf",
    "--max-clip-seconds=1e300",
    "--max-clip-seconds=0",
    "--min-loudness=nan",
    "--max-length-difference=inf",
    "--size=nan",
    "--size=33",
    "--size=" + "9" * 5000,
    "--workers=0",
    "--files-per-shard=-1",
    "--faces=os.path",
    "--faces=:",
    "--faces=nowhere:detect",
    "--size",
  ],
)
def test_an_option_that_cannot_be_is_named_before_any_work(run, tmp_path, flag):
  with pytest.raises(UserError, match=flag.partition("=")[0]) as info:
    run(flag)
  assert len(str(info.value)) < 500
  assert not (tmp_path / "out").exists()


def test_records_that_could_not_be_stored_are_refused(video, run, tmp_path):
  put(video, tmp_path / "in", "a.mp4")
  with pytest.raises(UserError, match="records of 2.4 GB.* give at most 27$"):
    run("--size=1024", "--max-clip-seconds=30")
  with pytest.raises(UserError, match="lengths|--input|missing|cannot be read"):
    run(source=None)


def times(root):
  files = [path for path in root.rglob("*") if path.is_file()]
  return {path: path.stat().st_mtime_ns for path in files}


def test_a_second_command_is_refused_while_the_first_works(
  video, run, tmp_path
):
  put(video, tmp_path / "in", "a.mp4")
  run()
  before = times(tmp_path)
  held = lock(tmp_path / "out")
  for source in (tmp_path / "in", None):
    with pytest.raises(UserError, match="another command is at work in"):
      run(source=source)
  os.close(held)
  assert before == times(tmp_path)
  run()


def test_what_is_read_is_never_written(video, run, tmp_path):
  folder = tmp_path / "in"
  put(video, folder, "a.mp4")
  (tmp_path / "link").symlink_to(folder)
  (tmp_path / "file").write_text("mine")
  (folder / "inner").mkdir()
  before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
  for out, said in [
    (folder, "what the command reads"),
    (tmp_path / "link", "what the command reads"),
    (folder / "inner" / "..", "what the command reads"),
    (tmp_path, "lies in|holds something else"),
    (tmp_path / "file", "is no folder"),
    (tmp_path / "file" / "out", "is no folder"),
    (tmp_path / ("x" * 256), "too long"),
    ("", "empty"),
    (tmp_path / "caf\udce9", "UTF-8"),
    ("/proc/out", "--out /proc/out"),
  ]:
    with pytest.raises(UserError, match=said) as info:
      run(out=out)
    assert "--out" in str(info.value)
  with pytest.raises(UserError, match="is no folder"):
    run(source=None)
  after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
  assert before == after
  run(out=folder / "inner")  # a folder of its own does no harm
  assert "0 shards made" in run(out=folder / "inner")


def test_most_truth_files_are_right_about_a_track(video, run, tmp_path):
  folder = tmp_path / "in"
  put(video, folder, "a.mp4", "b.mp4", "c.mp4")
  for name, width in (("a", 3), ("b", 1), ("c", 1)):
    write_truth(folder / f"{name}.mp4", range(26), gaze=[[0] * width] * 26)
  said = run()
  assert "gaze has 1 numbers a frame in 2 truth files; 1 that differ" in said
  assert verdicts(tmp_path / "out") == {
    "a.mp4": "bad_truth",
    "b.mp4": None,
    "c.mp4": None,
  }


def test_a_full_disk_is_no_fault_of_a_file(video, run, tmp_path, monkeypatch):
  put(video, tmp_path / "in", "a.mp4")

  def full(descriptor):
    raise OSError(28, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
      run()
  run()
  assert verdicts(tmp_path / "out") == {"a.mp4": None}


def test_a_child_that_is_told_to_end_ends_the_command(
  video, run, tmp_path, monkeypatch
):
  put(video, tmp_path / "in", "a.mp4")

  class Told:
    def pieces(self, *args, limits):
      raise UserError("a process that reads media was ended by SIGTERM")
      yield

  with monkeypatch.context() as patch:
    patch.setattr(ingest_apart, "_children", {"whole": Told()})
    with pytest.raises(UserError, match="SIGTERM"):
      run()
  assert not list((tmp_path / "out").glob("shards/*"))
