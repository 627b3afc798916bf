"""What is to be written is looked at before any work."""

import os
import pathlib

import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.outputs import check_file, check_folder


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
  """A folder with a file, links, and a second folder, as current folder."""
  monkeypatch.chdir(tmp_path)
  pathlib.Path("file").write_text("precious")
  pathlib.Path("read").mkdir()
  pathlib.Path("read/inside").write_text("precious")
  pathlib.Path("link").symlink_to("file")
  pathlib.Path("way").symlink_to("read")
  pathlib.Path("nowhere").symlink_to("gone")
  pathlib.Path("loop").symlink_to("loop")
  os.link("file", "hard")
  os.mkfifo("pipe")


def _tree():
  return sorted(pathlib.Path().rglob("*"))


LONG = "x" * 255
NO_PLACES = ["", "file/x", "new/" + LONG + "x", "x\0y", "/proc/x", "file/a/b"]


@pytest.mark.parametrize(
  "path",
  [*NO_PLACES, "read", ".", "..", "/", "way", "new/", LONG, "pipe", "nowhere/x"]
  + ["/dev/null", "/dev/full", "loop/x", "x" * 5000, "new/../read"],
)
def test_a_file_that_cannot_be_is_a_line_and_no_trace(path):
  before = _tree()
  with pytest.raises(UserError, match="--plot") as caught:
    check_file(path, "--plot")
  assert len(str(caught.value).splitlines()) == 1
  assert _tree() == before


@pytest.mark.parametrize(
  "path", [*NO_PLACES, "file", "link", "nowhere", "loop", "pipe", "/dev/null"]
)
def test_a_folder_that_cannot_be_is_a_line_and_no_trace(path):
  before = _tree()
  with pytest.raises(UserError, match="--out") as caught:
    check_folder(path)
  assert len(str(caught.value).splitlines()) == 1
  assert _tree() == before


@pytest.mark.parametrize("path", ["a/new\nline", "a/\udce9"])
def test_a_name_that_is_hard_to_print_is_one_line(path):
  pathlib.Path("a").mkdir()
  pathlib.Path(path).mkdir()
  with pytest.raises(UserError, match="is a folder") as caught:
    check_file(path)
  assert str(caught.value).isprintable()


@pytest.mark.parametrize(
  "path", ["file", "./read/../file", "link", "hard", "way/../file"]
)
def test_no_spelling_of_what_is_read_may_be_written(path):
  for read in ("file", "link", "hard", pathlib.Path("file").absolute()):
    with pytest.raises(UserError, match="reads"):
      check_file(path, reads=[None, "gone", read])


def test_no_file_of_a_folder_that_is_read_may_be_written():
  pathlib.Path("to").symlink_to("read/inside")
  for path in ("read/inside", "way/inside", "to"):
    for read in ("read", "way", pathlib.Path("read").absolute()):
      with pytest.raises(UserError, match="reads"):
        check_file(path, reads=[read])
  check_file("read/new", reads=["read"])
  check_file("file", reads=["read"])


def test_a_folder_that_is_read_may_not_be_written():
  for path in ("read", "way", "read/../way/."):
    with pytest.raises(UserError, match="reads"):
      check_folder(path, reads=[None, "file", "way"])
  check_folder("read/below", reads=["read"])
  check_folder(".", reads=["read"])


@pytest.mark.parametrize("path", ["new", "a/b/new", "a/../new", "file", "link"])
def test_what_can_be_written_leaves_no_trace_either(path):
  before = _tree()
  check_file(path)
  assert _tree() == before
  assert pathlib.Path("file").read_text() == "precious"


@pytest.mark.parametrize("path", ["new", "a/b/new", "a/../new", "read", "way"])
def test_what_can_be_filled_leaves_no_trace_either(path):
  before = _tree()
  check_folder(path)
  assert _tree() == before


def test_what_another_one_takes_away_is_tried_again(monkeypatch):
  remembered, gone = os.open, iter([True, True])

  def open_or_not(path, flags):
    if next(gone, False):
      raise FileNotFoundError(2, "gone", str(path))
    return remembered(path, flags)

  monkeypatch.setattr(os, "open", open_or_not)
  check_file("a/new")
  assert not pathlib.Path("a").exists()


def test_a_file_system_that_takes_nothing_is_named():
  # Even the administrator can make nothing there.
  with pytest.raises(UserError, match="/proc/1/x.*cannot be written"):
    check_file("/proc/1/x")
