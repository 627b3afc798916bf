import os
import signal
import subprocess
import sys
import time

import pytest

from data_pipelines.pool import run_jobs
from eartalk_jax.errors import UserError


def double(number):
  return 2 * number


def refuse(number):
  raise UserError(f"job {number} cannot")


def die(number):
  os.kill(os.getpid(), signal.SIGKILL)


def sleep(number):
  os.write(1, f"{os.getpid()}\n".encode())  # one line, whoever writes, too
  time.sleep(60)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_once(workers):
  results = list(run_jobs(double, list(range(5)), workers))
  assert sorted(results) == [(i, 2 * i) for i in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_job_arrives(workers):
  with pytest.raises(UserError, match="job 7 cannot"):
    list(run_jobs(refuse, [7], workers))


def test_a_killed_worker_is_an_error_not_a_hang():
  with pytest.raises(UserError, match="was killed"):
    list(run_jobs(die, [1, 2], workers=2))


def is_alive(pid):
  try:
    with open(f"/proc/{pid}/stat") as file:
      return file.read().split(")")[1].split()[0] != "Z"
  except FileNotFoundError:
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
  "number, status", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)]
)
def test_workers_end_with_their_parent(number, status):
  code = (
    "import test_pool as t\n"
    "from launch import cli\n"
    "if __name__ == '__main__':\n"
    "  cli.run(lambda: list(t.run_jobs(t.sleep, [1, 2], 2)))"
  )
  root = os.path.dirname(os.path.dirname(__file__))
  parent = subprocess.Popen(
    [sys.executable, "-c", code],
    env=os.environ | {"PYTHONPATH": f"{root}:{os.path.dirname(__file__)}"},
    stdout=subprocess.PIPE,
    text=True,
  )
  workers = [int(parent.stdout.readline()) for _ in range(2)]
  assert all(map(is_alive, workers))
  parent.send_signal(number)
  assert parent.wait(timeout=30) == status
  deadline = time.monotonic() + 10
  while any(map(is_alive, workers)) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not any(map(is_alive, workers))
