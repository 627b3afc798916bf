"""Functions that do to their process what a hostile file does."""

import ctypes
import os
import signal
import sys
import time

import numpy as np

from data_pipelines import isolation
from data_pipelines.child import alive
from eartalk_jax.errors import UserError


def double(path):
  return 2 * path


def count(path, numbers, size=1):
  for i in range(numbers):
    yield np.full(size, i)


def refuse(path):
  raise UserError(f"{path} is no good")


def fail(path):
  raise ValueError(f"{path} was not expected")


def end(path):
  """Ends as the name says: a signal, or a status."""
  if path.startswith("SIG"):
    os.kill(os.getpid(), signal.Signals[path])
  os._exit(int(path))


def read_nowhere(path):
  ctypes.string_at(0)


def loop(path):
  while True:
    pass


def loop_inside_c(path):
  """Keeps the interpreter from all threads."""
  sum(range(10**12))


def eat(path):
  held = []
  while True:
    held.append(np.ones(2**22, np.uint8))


def leave_a_child_behind(path):
  """Dies; what it started holds all its files."""
  if os.fork() == 0:
    time.sleep(60)
  os.kill(os.getpid(), signal.SIGSEGV)


def numbers_and_then(path, numbers, ending):
  yield from range(numbers)
  end(ending)


def die_of_samples(path, rate):
  yield np.zeros(rate // 10, np.float32)
  end("SIGSEGV")


def own_number(path):
  yield os.getpid()


def own_numbers(path):
  while True:
    yield os.getpid()


def slowly(path, steps, seconds=0.3):
  for _ in range(steps):
    time.sleep(seconds)
    alive()
  yield steps


def say_own_number_and_loop(path):
  os.write(1, f"{os.getpid()}\n".encode())
  loop_inside_c(path)


if __name__ == "__main__":
  import hostile

  limits = isolation.Limits(seconds=600)
  isolation.apart(hostile.say_own_number_and_loop, sys.argv[1], limits=limits)
