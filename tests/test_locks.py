"""One at a time."""

import multiprocessing
import time

import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in


def test_the_second_is_refused_while_the_first_works(tmp_path):
  with alone_in(tmp_path / "a" / "b") as folder:
    with pytest.raises(UserError, match="at work"), alone_in(folder):
      pass
    with alone_in(tmp_path / "a"):  # another folder
      pass
  with alone_in(folder):
    pass


def test_a_folder_in_which_nothing_was_made_does_not_stay(tmp_path):
  with pytest.raises(KeyError), alone_in(tmp_path / "new"):
    raise KeyError("the input is not there")
  (tmp_path / "old").mkdir()
  for name in ("old", "full"):
    with alone_in(tmp_path / name) as folder:
      if name == "full":
        (folder / "made").touch()
  assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "old"]


def _die_inside(folder, inside):
  with alone_in(folder):
    inside.set()
    time.sleep(60)


def test_a_killed_one_lets_others_in(tmp_path):
  context = multiprocessing.get_context("spawn")
  inside = context.Event()
  other = context.Process(target=_die_inside, args=(tmp_path, inside))
  other.start()
  assert inside.wait(60)
  with pytest.raises(UserError, match="at work"), alone_in(tmp_path):
    pass
  other.kill()
  other.join()
  with alone_in(tmp_path):
    pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
  (tmp_path / "file").touch()
  with (
    pytest.raises(UserError, match="file"),
    alone_in(tmp_path / "file" / "x"),
  ):
    pass
