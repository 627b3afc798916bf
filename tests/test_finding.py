"""Which files of a tree are taken, and what is said of the others."""

import os

import pytest

from data_pipelines import finding
from data_pipelines.finding import find_media
from eartalk_jax.errors import UserError


def plant(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
  return root


def test_endings_of_every_camera_are_taken(tmp_path):
  names = ["a.mp4", "b.MP4", "c.m4v", "d.3gp", "e.MTS", "f.ts", "g.avi"]
  plant(tmp_path, *names)
  assert find_media(tmp_path).names == names


def test_what_is_passed_over_is_counted_by_ending(tmp_path):
  plant(tmp_path, "a.mp4", "a.truth.json", "b.jpg", "deep/c.JPG", "README")
  plant(tmp_path, "v1.0 of the film, at last", "odd.\n\udce9")
  (line,) = find_media(tmp_path).lines()
  head, kinds = line.split(": ")
  assert head == "passed over by their endings"
  assert kinds.startswith("2 .jpg, ")
  want = {"2 .jpg", "1 without one", "1 others", r"1 .\x0a\xe9"}
  assert set(kinds.split(", ")) == want


def test_of_many_endings_a_few_are_named(tmp_path):
  plant(tmp_path, "a.mp4", *(f"x.e{i}" for i in range(20)))
  (line,) = find_media(tmp_path).lines()
  assert line.count(",") == 8 and line.endswith(" 12 others")


def test_nothing_is_said_of_nothing(tmp_path):
  plant(tmp_path, "a.mp4")
  assert find_media(tmp_path).lines() == []


def test_links_are_followed_once_and_no_file_is_taken_twice(tmp_path):
  root, away = tmp_path / "in", tmp_path / "away"
  plant(root, "z/a.mp4")
  plant(away, "b.mp4")
  (root / "0_up").symlink_to(root)
  (root / "z" / "loop").symlink_to(".")
  (root / "1_z").symlink_to("z")
  (root / "away").symlink_to(away)
  (away / "back").symlink_to(root)
  (root / "c.mp4").symlink_to("z/a.mp4")
  (root / "d.mp4").symlink_to(away / "b.mp4")
  os.link(away / "b.mp4", away / "e.mp4")
  found = find_media(root)
  assert found.names == ["away/b.mp4", "z/a.mp4"]
  assert found.lines() == ["passed over 3 links to files that are taken"]


def test_what_is_no_file_is_found_by_its_name(tmp_path):
  plant(tmp_path, "folder.mp4/a.mp4")
  os.mkfifo(tmp_path / "pipe.mp4")
  (tmp_path / "broken.mp4").symlink_to("nowhere")
  names = ["broken.mp4", "folder.mp4/a.mp4", "pipe.mp4"]
  assert find_media(tmp_path).names == names


def test_a_folder_that_is_closed_is_named(tmp_path, monkeypatch):
  plant(tmp_path, "a.mp4", "closed/b.mp4")
  look = os.scandir

  def scandir(path):
    if path.name == "closed":
      raise PermissionError(13, "Permission denied", str(path))
    return look(path)

  monkeypatch.setattr(finding.os, "scandir", scandir)
  found = find_media(tmp_path)
  assert found.names == ["a.mp4"]
  assert found.lines() == ["passed over the folder closed (Permission denied)"]


def test_the_output_within_the_input_is_not_looked_into(tmp_path):
  plant(tmp_path, "a.mp4", "out/b.mp4")
  assert find_media(tmp_path, but=tmp_path / "out").names == ["a.mp4"]


def test_a_tree_without_videos_or_no_tree_is_an_error(tmp_path):
  plant(tmp_path, "a.txt")
  with pytest.raises(UserError, match="holds no .mp4, .m4v"):
    find_media(tmp_path)
  with pytest.raises(UserError, match="is no folder"):
    find_media(tmp_path / "a.txt")
