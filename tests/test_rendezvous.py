"""Who is missing, twice there or odd is named, on all that are there."""

import concurrent.futures
import socket
import threading

import pytest

from eartalk_jax.errors import UserError
from eartalk_jax.processes import rendezvous
from eartalk_jax.processes.distributed import find_membership
from eartalk_jax.processes.rendezvous import meet

SAME = {"jax": "1.0"}


def free_port():
  with socket.socket() as free:
    free.bind(("localhost", 0))
    return free.getsockname()[1]


def meeting(processes, come, timeout=20, facts=lambda process: SAME):
  """What `meet` says to each of the processes that come: None or the error."""
  address = f"localhost:{free_port()}"

  def one(process):
    try:
      meet(address, process, processes, facts(process), timeout)
    except UserError as error:
      return str(error)
    return None

  with concurrent.futures.ThreadPoolExecutor(len(come)) as pool:
    return list(pool.map(one, come))


def test_all_that_come_go_on():
  assert meeting(4, [3, 1, 0, 2]) == [None] * 4


def test_the_missing_are_named_to_all_that_came():
  said = meeting(5, [0, 2, 4], timeout=1)
  assert len(set(said)) == 1
  assert "processes 1, 3 of 5 did not come within 1 s" in said[0]
  assert f"2 on {socket.gethostname()}" in said[0]


def test_a_number_given_twice_is_named_to_all():
  said = meeting(3, [0, 1, 1])
  assert len(set(said)) == 1 and "process 1" in said[0]
  assert "there a second time" in said[0]


def test_another_version_is_named():
  said = meeting(3, [0, 1, 2], facts=lambda p: {"jax": "2.0" if p else "1.0"})
  host = socket.gethostname()
  assert set(said) == {said[0]}
  assert f"process 0 ({host}) has jax 1.0 instead of 2.0" in said[0]


def test_two_halves_are_judged_by_process_0():
  said = meeting(2, [0, 1], facts=lambda p: {"jax": str(p)})
  assert "process 1" in said[0] and "has jax 1 instead of 0" in said[0]


def test_nobody_at_the_address_is_an_error_that_names_it():
  (said,) = meeting(2, [1], timeout=0.5)
  assert "cannot reach process 0 at localhost:" in said


def test_a_port_in_use_is_an_error_that_names_it():
  with socket.create_server(("", 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(UserError, match=f"cannot listen on port {port}"):
      meet(f"localhost:{port}", 0, 2, SAME, 1)


def test_strangers_on_the_port_disturb_nobody():
  port = free_port()
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    first = pool.submit(meet, f"localhost:{port}", 0, 2, SAME, 20)
    for text in (b"GET / HTTP/1.1\r\n\r\n\n", b"[1]\n", b'{"process": "x"}\n'):
      while True:
        try:
          stranger = socket.create_connection(("localhost", port))
          break
        except ConnectionRefusedError:
          continue
      with stranger:
        stranger.sendall(text)
    pool.submit(meet, f"localhost:{port}", 1, 2, SAME, 20).result()
    first.result()


def test_one_that_came_and_went_is_missing(monkeypatch):
  port, gone = free_port(), threading.Event()
  read_line = rendezvous._read_line

  def late(connection):
    assert gone.wait(30)
    return read_line(connection)

  monkeypatch.setattr(rendezvous, "_read_line", late)
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    first = pool.submit(meet, f"localhost:{port}", 0, 2, SAME, 2)
    while True:
      try:
        with socket.create_connection(("localhost", port)) as guest:
          guest.sendall(b'{"process": 1, "host": "h", "facts": {}}\n')
        break
      except ConnectionRefusedError:
        continue
    gone.set()
    with pytest.raises(UserError, match="process 1 of 2 did not come"):
      first.result()


def member(*given, distributed=None):
  return find_membership(*given, distributed, 1)


def test_one_process_needs_no_word(monkeypatch):
  for name in ("SLURM_NTASKS", "TPU_WORKER_HOSTNAMES"):
    monkeypatch.delenv(name, raising=False)
  assert member(None, None, None) is None


def test_one_of_many_does_not_train_alone_by_mistake(monkeypatch):
  monkeypatch.setenv("SLURM_NTASKS", "4")
  with pytest.raises(UserError, match="SLURM_NTASKS=4.*add --distributed"):
    member(None, None, None)
  assert member(None, None, None, distributed=False) is None
  monkeypatch.delenv("SLURM_NTASKS")
  monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "a,b")
  with pytest.raises(UserError, match="TPU_WORKER_HOSTNAMES names several"):
    member(None, None, None)


def test_a_cluster_says_who_is_who(monkeypatch):
  slurm = {
    "JOB_ID": "7",
    "STEP_NODELIST": "node[3-6]",
    "NTASKS": "4",
    "PROCID": "2",
    "LOCALID": "1",
  }
  for name, value in slurm.items():
    monkeypatch.setenv(f"SLURM_{name}", value)
  found = member(None, None, None, distributed=True)
  assert (found.processes, found.process, found.devices) == (4, 2, (1,))
  assert found.coordinator.startswith("node3:")
  # What is said by hand counts.
  found = member("there:1234", None, None, distributed=True)
  assert (found.coordinator, found.process) == ("there:1234", 2)


@pytest.mark.parametrize(
  "given, message",
  [
    (("here:1", 2, None), "--process is needed"),
    ((None, None, 0), "--coordinator and --processes is needed"),
    (("here:1", 2, 2), "--process 2 of --processes 2: count from 0 to 1"),
    (("here", 2, 1), "write HOST:PORT"),
    (("here:0", 2, 1), "write HOST:PORT"),
  ],
)
def test_flags_that_do_not_make_sense_are_refused(given, message):
  with pytest.raises(UserError, match=message):
    member(*given)


def test_no_cluster_to_ask_is_an_error(monkeypatch):
  for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri"):
    monkeypatch.delenv(name, raising=False)
  with pytest.raises(UserError, match="no cluster that JAX knows"):
    member(None, None, None, distributed=True)
