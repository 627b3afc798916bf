"""Work in a process of its own: its values, its errors, its death."""

import contextlib
import os
import signal
import sys

import psutil
import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.processes import apart


def _tell(how):
  yield os.getpid()
  if how == "wrong":
    raise UserError("no such thing")
  if how == "broken":
    raise KeyError("lost")
  if how == "crash":
    stack = "\n    @ 0x7f95 xla::Bounds()\n    @ 0x7f96 (unknown)\n"
    text = "note\nF1128 10:30:17.6 16712 fusion.cc:39] No progress" + stack
    os.write(2, text.encode())
    os.abort()
  if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
  if how == "left":
    print("gone\n***", file=sys.stderr, flush=True)
    os._exit(3)
  yield how


@pytest.mark.parametrize(
  "how, error, told",
  [
    ("wrong", UserError, "^no such thing$"),
    ("broken", RuntimeError, r"KeyError: 'lost'"),
    ("crash", apart.Died, r"^crashed \(SIGABRT\): No progress$"),
    ("killed", apart.Died, r"^was killed \(SIGKILL\), .* memory runs out: $"),
    ("left", apart.Died, "^ended with status 3: gone$"),
  ],
)
def test_an_error_or_a_death_elsewhere_is_an_error_here(how, error, told):
  values = apart.each(_tell, how)
  assert next(values) != os.getpid()
  with pytest.raises(error, match=told):
    list(values)


def test_values_come_one_by_one_and_the_process_ends_with_the_iteration():
  assert list(apart.each(_tell, "well"))[1:] == ["well"]
  with contextlib.closing(apart.each(_tell, "well")) as values:
    process = psutil.Process(next(values))
  assert not process.is_running()
