"""What a child's end means to its parent."""

import os
import signal
import subprocess
import sys
import time

import hostile
import numpy as np
import pytest
from test_pool import is_alive

from data_pipelines import child as child_module
from data_pipelines.isolation import (
  Crash,
  Isolated,
  Limits,
  apart,
  pieces_apart,
)
from eartalk_jax.errors import UserError


@pytest.fixture(scope="module")
def child():
  child = Isolated()
  yield child
  child.close()


def test_a_value_comes_back():
  assert apart(hostile.double, 21) == 42


def test_pieces_come_in_order_and_are_not_made_ahead(child):
  pieces = child.pieces(hostile.count, "", 100, 2**20)
  before = resident()
  for i, piece in enumerate(pieces):
    assert piece[0] == i
  assert i == 99
  assert resident() - before < 100 << 20


def resident():
  with open("/proc/self/statm") as file:
    return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize(
  "ending, detail",
  [
    ("SIGSEGV", "was ended by SIGSEGV"),
    ("SIGABRT", "was ended by SIGABRT"),
    ("SIGKILL", "was ended by SIGKILL, for want of memory perhaps"),
    ("3", "ended its process with status 3"),
  ],
)
def test_an_end_is_named(child, ending, detail):
  with pytest.raises(Crash) as info:
    list(child.pieces(hostile.numbers_and_then, "", 3, ending))
  assert (info.value.reason, info.value.detail) == ("crashed", detail)
  assert len(list(child.pieces(hostile.count, "", 2))) == 2


def test_pieces_before_a_crash_arrive(child):
  pieces = child.pieces(hostile.numbers_and_then, "", 3, "SIGSEGV")
  assert [next(pieces) for _ in range(3)] == [0, 1, 2]
  with pytest.raises(Crash):
    next(pieces)


def test_a_fault_of_memory_names_the_file():
  with pytest.raises(
    UserError, match="a.wav cannot be read: its decoder was ended by SIGSEGV; "
  ):
    apart(hostile.read_nowhere, "a.wav")


@pytest.mark.parametrize("name", ["loop", "loop_inside_c", "eat"])
def test_what_is_beyond_its_limits_is_ended(name):
  said, limits = "no sign of life for 2 s", Limits(seconds=1.5)
  if name == "eat":
    said, limits = "more than 0.1 GiB of memory", Limits(memory=100 << 20)
  began = time.monotonic()
  with pytest.raises(UserError, match=f"a.wav .* {said}"):
    apart(getattr(hostile, name), "a.wav", limits=limits)
  assert time.monotonic() - began < 50


def test_a_child_that_leaves_another_behind_is_no_hang(child):
  began = time.monotonic()
  with pytest.raises(Crash, match="SIGSEGV"):
    list(child.pieces(hostile.leave_a_child_behind, ""))
  assert time.monotonic() - began < 50


def test_a_slow_parent_is_not_held_against_the_child(child):
  list(child.pieces(hostile.own_number, ""))  # starts it
  pieces = child.pieces(hostile.count, "", 3, limits=Limits(seconds=0.5))
  for _ in pieces:
    time.sleep(0.8)


def test_signs_of_life_are_time(child):
  list(child.pieces(hostile.own_number, ""))
  limits = Limits(seconds=0.6)
  assert list(child.pieces(hostile.slowly, "", 5, limits=limits)) == [5]
  with pytest.raises(Crash, match="no sign"):
    list(child.pieces(hostile.slowly, "", 1, 5.0, limits=limits))
  child_module.alive()  # nothing here


def test_what_the_function_raises_is_raised_here(child):
  with pytest.raises(UserError, match="^a.wav is no good$"):
    apart(hostile.refuse, "a.wav")
  with pytest.raises(ValueError, match="was not expected") as info:
    list(child.pieces(hostile.fail, "a"))
  assert "hostile.py" in info.value.__notes__[0]


def test_one_child_serves_all_calls_until_it_ends(child):
  (one,) = child.pieces(hostile.own_number, "")
  with pytest.raises(ValueError):
    list(child.pieces(hostile.fail, "a"))
  (two,) = child.pieces(hostile.own_number, "")
  assert one == two != os.getpid()
  os.kill(one, signal.SIGKILL)  # while nobody calls: nobody's fault
  while not child._child.has_ended():
    time.sleep(0.01)
  (three,) = child.pieces(hostile.own_number, "")
  assert three != one


def test_told_to_end_is_no_fault_of_a_file(child):
  with pytest.raises(UserError, match="ended by SIGTERM; run the same"):
    list(child.pieces(hostile.numbers_and_then, "", 0, "SIGTERM"))


def test_an_abandoned_generator_ends_its_child():
  pieces = pieces_apart(hostile.own_numbers, "")
  number = next(pieces)
  assert is_alive(number)
  pieces.close()
  assert not is_alive(number)


def test_a_child_that_dies_at_its_start_is_an_error_of_the_user():
  child = Isolated((hostile.read_nowhere, ""), "--faces a:b")
  with pytest.raises(UserError, match="^--faces a:b: .*SIGSEGV"):
    list(child.pieces(hostile.count, "", 1))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_ends_with_its_parent_whatever_it_does():
  root = os.path.dirname(os.path.dirname(__file__))
  parent = subprocess.Popen(
    [sys.executable, hostile.__file__, "a.wav"],
    env=os.environ | {"PYTHONPATH": f"{root}:{os.path.dirname(__file__)}"},
    stdout=subprocess.PIPE,
    text=True,
  )
  number = int(parent.stdout.readline())
  assert is_alive(number)
  parent.kill()
  parent.wait()
  deadline = time.monotonic() + 10
  while is_alive(number) and time.monotonic() < deadline:
    time.sleep(0.02)
  assert not is_alive(number)


def test_arrays_come_as_they_are(child):
  (piece,) = child.pieces(hostile.count, "", 1, 3)
  np.testing.assert_array_equal(piece, np.zeros(3))
