import os
import re
import socket

import pytest
from hypothesis import given, strategies

from data_pipelines.names import printable, what_is_wrong


def as_bytes(text):
  """Undoes `printable`."""

  def one(match):
    said = match[0]
    if said == "\\\\":
      return b"\\"
    code = int(said[2:], 16)
    return bytes([code]) if said[1] == "x" else chr(code).encode()

  parts = re.split(r"(\\\\|\\x..|\\u....)", text)
  return b"".join(
    one(re.match(".*", part)) if part.startswith("\\") else part.encode()
    for part in parts
  )


@given(strategies.binary())
def test_any_bytes_become_a_line_that_can_be_told_again(name):
  text = printable(os.fsdecode(name))
  assert as_bytes(text) == name
  assert len(text.splitlines()) <= 1
  text.encode()


def test_ordinary_names_stay():
  assert printable("Größe 100%/日本 語.mp4") == "Größe 100%/日本 語.mp4"
  assert printable("caf\udce9\n\\.mp4") == r"caf\xe9\x0a\\.mp4"


def test_nothing_but_a_file_is_right(tmp_path):
  (tmp_path / "file").write_text("")
  (tmp_path / "link").symlink_to("file")
  (tmp_path / "broken").symlink_to("nowhere")
  (tmp_path / "loop").symlink_to("loop")
  os.mkfifo(tmp_path / "pipe")
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(tmp_path / "socket"))
  said = {path.name: what_is_wrong(path) for path in tmp_path.iterdir()}
  assert said.pop("file") is said.pop("link") is None
  assert said["broken"].startswith("is a link to nothing")
  assert said["loop"].startswith("is a link to nothing")
  assert said["pipe"] == said["socket"] == "is a pipe, a socket or a device"
  assert what_is_wrong(tmp_path) == "is a folder"
  assert "No such file" in what_is_wrong(tmp_path / "none")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_devices_are_no_files(name):
  assert what_is_wrong(name) == "is a pipe, a socket or a device"
