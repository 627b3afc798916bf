"""Files and folders that are there whole or not at all."""

import multiprocessing
import os
import pathlib
import threading
import time

import pytest

from eartalk_jax import files
from eartalk_jax.errors import UserError

FULL = OSError(28, "No space left on device")


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path):
  path = tmp_path / "made"
  files.write_text(path, "old")
  for error in (FULL, KeyError("a bug"), KeyboardInterrupt()):
    with pytest.raises((UserError, type(error))), files.replacing(path) as new:
      new.write_text("half")
      raise error
  assert path.read_text() == "old"
  assert _names(tmp_path) == ["made"]


@pytest.mark.parametrize("making", [files.replacing, files.making_folder])
def test_the_first_failure_is_named_not_that_of_closing(tmp_path, making):
  # As a container that is closed after its disk was full.
  with (
    pytest.raises(UserError, match="made.*No space left"),
    making(tmp_path / "made") as temporary,
  ):
    try:
      raise FULL
    finally:
      raise OSError(5, "Input/output error", str(temporary))


@pytest.mark.parametrize(
  "first", [UserError("the picture is black"), KeyboardInterrupt()]
)
def test_what_ended_the_work_is_not_hidden_by_closing(tmp_path, first):
  with (
    pytest.raises(type(first), match=str(first) or "^$"),
    files.replacing(tmp_path / "made"),
  ):
    try:
      raise first
    finally:
      raise FULL


def test_an_error_that_was_there_before_is_not_the_reason(tmp_path):
  def write():
    with files.replacing(tmp_path / "made") as temporary:
      os.link(temporary, temporary)  # there already

  try:
    raise OSError(5, "Input/output error")
  except OSError:
    with pytest.raises(UserError, match="File exists"):
      write()


@pytest.mark.parametrize("making", [files.replacing, files.making_folder])
@pytest.mark.parametrize("read", ["read", "other/read"])
def test_an_error_of_reading_is_not_one_of_writing(tmp_path, making, read):
  with (
    pytest.raises(FileNotFoundError, match="read"),
    making(tmp_path / "made"),
  ):
    (tmp_path / read).read_text()
  assert not list(tmp_path.iterdir())


def test_an_error_inside_of_the_folder_is_one_of_writing(tmp_path):
  with (
    pytest.raises(UserError, match="cannot write .*made"),
    files.making_folder(tmp_path / "made") as folder,
  ):
    (folder / "no" / "such").write_text("x")


@pytest.mark.parametrize("name", ["folder", "pipe", "/dev/null", "folder/"])
def test_what_is_no_file_is_not_replaced(tmp_path, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  os.mkdir("folder")
  os.mkfifo("pipe")
  with pytest.raises(UserError, match=name):
    files.write_text(name, "x")
  assert pathlib.Path("/dev/null").is_char_device()
  assert _names(tmp_path) == ["folder", "pipe"]


def test_a_link_is_replaced_and_not_what_it_links_to(tmp_path):
  (tmp_path / "precious").write_text("precious")
  (tmp_path / "link").symlink_to("precious")
  files.write_text(tmp_path / "link", "new")
  assert (tmp_path / "precious").read_text() == "precious"
  assert (tmp_path / "link").read_text() == "new"
  assert not (tmp_path / "link").is_symlink()


def _hang(folder, inside):
  with (
    files.replacing(folder / "a[b]") as temporary,
    files.making_folder(folder / "made") as partial,
  ):
    temporary.write_text("half")
    (partial / "half").mkdir()
    inside.set()
    time.sleep(60)


def test_only_what_a_dead_process_left_is_removed(tmp_path):
  context = multiprocessing.get_context("spawn")
  inside = context.Event()
  other = context.Process(target=_hang, args=(tmp_path, inside))
  other.start()
  assert inside.wait(60)
  theirs = f".a[b].{other.pid}.tmp"
  files.write_text(tmp_path / "a[b]", "ours")
  with (
    pytest.raises(UserError, match="at work"),
    files.making_folder(tmp_path / "made"),
  ):
    pass
  assert (tmp_path / ".made.partial" / "half").is_dir()
  assert (tmp_path / theirs).read_text() == "half"
  other.kill()
  other.join()
  (tmp_path / f".a[b].x.{other.pid}.tmp").touch()  # of another file
  assert theirs in _names(tmp_path)
  files.write_text(tmp_path / "a[b]", "ours")
  with files.making_folder(tmp_path / "made") as partial:
    assert not list(partial.iterdir())
  assert _names(tmp_path) == [f".a[b].x.{other.pid}.tmp", "a[b]", "made"]


def test_two_threads_write_one_file_one_after_the_other(tmp_path):
  def write(letter):
    for _ in range(20):
      files.write_text(tmp_path / "made", letter * 10_000)

  threads = [threading.Thread(target=write, args=(x,)) for x in "abc"]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(set((tmp_path / "made").read_text())) == 1
  assert _names(tmp_path) == ["made"]


def test_a_folder_that_is_there_is_left_alone(tmp_path):
  (tmp_path / "made").mkdir()
  (tmp_path / "made" / "precious").touch()
  with (
    pytest.raises(UserError, match="there already"),
    files.making_folder(tmp_path / "made"),
  ):
    pass
  assert _names(tmp_path) == ["made"]
  assert _names(tmp_path / "made") == ["precious"]
