"""How a command ends, whatever happened in it."""

import errno
import io
import os
import sys

import jax
import pytest

from eartalk_jax.errors import UserError, one_line
from launch import cli


def ended(main):
  with pytest.raises(SystemExit) as caught:
    cli.run(main)
  return caught.value.code


def failing(error):
  def main():
    raise error

  return main


FULL = OSError(errno.ENOSPC, "No space left on device")
MENDABLE = {
  "user": (UserError("--out x\nis a folder"), "--out x is a folder"),
  "path": (FileNotFoundError(2, "No such file", "a.wav"), "a.wav: No such"),
  "long": (OSError(errno.ENAMETOOLONG, "too long", "x" * 9000), "xxx"),
  "bytes": (PermissionError(13, "denied", b"a\xe9.mp4"), "denied"),
  "full": (FULL, "No space left on device"),
  "memory": (MemoryError("Unable to allocate 3 TiB"), "allocate 3 TiB"),
  "device": (
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB\nby 200 lines"),
    "not enough memory on the device",
  ),
}


@pytest.mark.parametrize("name", MENDABLE)
def test_what_a_user_can_mend_is_one_line_and_status_2(name, capsys):
  error, message = MENDABLE[name]
  assert ended(failing(error)) == 2
  said = capsys.readouterr().err
  assert message in said
  assert said.startswith("error: ") and len(said.splitlines()) == 1


@pytest.mark.parametrize(
  "error", [KeyError("bug"), OSError(errno.EBADF, "bad"), RecursionError()]
)
def test_a_mistake_of_ours_shows_where_it_is(error, capsys):
  assert ended(failing(error)) == 1
  assert "Traceback" in capsys.readouterr().err


def _stdout(monkeypatch, descriptor, encoding="utf-8"):
  stream = io.TextIOWrapper(io.FileIO(descriptor, "w"), encoding, "strict")
  monkeypatch.setattr(sys, "stdout", stream)


def test_output_that_nobody_reads_is_no_error(monkeypatch, capfd):
  reader, writer = os.pipe()
  os.close(reader)
  _stdout(monkeypatch, writer)
  assert ended(lambda: print("x" * 100_000)) == 141
  sys.stdout.close()  # Python does so when it ends
  assert capfd.readouterr().err == ""


def test_short_output_that_nobody_reads_is_no_error(monkeypatch, capfd):
  reader, writer = os.pipe()
  os.close(reader)
  _stdout(monkeypatch, writer)
  assert ended(lambda: print("short")) == 141
  sys.stdout.close()
  assert capfd.readouterr().err == ""


def test_a_full_disk_behind_the_output_is_named(monkeypatch, capfd):
  _stdout(monkeypatch, os.open("/dev/full", os.O_WRONLY))
  assert ended(lambda: print("x")) == 2
  monkeypatch.undo()
  assert "No space left" in capfd.readouterr().err


def test_a_name_that_the_output_has_no_letters_for_is_printed(monkeypatch):
  reader, writer = os.pipe()
  _stdout(monkeypatch, writer, "ascii")
  assert ended(lambda: print("Müller \udce9")) is None
  sys.stdout.close()
  with os.fdopen(reader, "rb") as file:
    assert file.read() == b"M\\xfcller \\udce9\n"


def test_a_message_is_one_printable_line_of_bounded_length():
  assert one_line("a\n  b\r\n\x1b[31mc\udce9\n") == r"a b \x1b[31mc\udce9"
  assert len(one_line("x" * 10**6)) < 2100
  assert one_line("Müller") == "Müller"
