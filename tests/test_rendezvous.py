"""Who is missing, twice there or odd is named, on all that are there."""

import concurrent.futures
import contextlib
import errno
import json
import math
import socket
import time

import pytest
from absl.testing import flagsaver
from ports import free_port

from eartalk_jax.errors import UserError
from eartalk_jax.processes import guests, rendezvous
from eartalk_jax.processes.distributed import find_membership
from eartalk_jax.processes.rendezvous import meet
from launch import cli, configured

SAME = {"jax": "1.0"}


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


@contextlib.contextmanager
def process_0(processes=2, timeout=20):
  """Yields its port and its Future, while it waits for the others."""
  port = free_port()
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    yield (
      port,
      pool.submit(meet, f"localhost:{port}", 0, processes, SAME, timeout),
    )


def stranger(port, said=b""):
  until = time.monotonic() + 20
  while True:
    try:
      connection = socket.create_connection(("localhost", port))
      break
    except ConnectionRefusedError:  # process 0 does not listen yet
      assert time.monotonic() < until, "process 0 has ended"
      time.sleep(0.01)
  with contextlib.suppress(ConnectionError):  # it has heard enough
    connection.sendall(said)
  return connection


def line(process=1, host="h", facts=SAME, **more):
  told = {"process": process, "host": host, "facts": facts} | more
  return json.dumps(told).encode() + b"\n"


ODD = {
  "a browser": b"GET / HTTP/1.1\r\n\r\n\n",
  "a list": b"[1]\n",
  "nested": b"[" * 60_000 + b"\n",
  "no UTF-8": bytes(range(256)),
  "no end": b"x" * (1 << 18),
  "a word": line("x"),
  "true": line(True),
  "not a number": line(math.nan),
  "negative": line(-1),
  "process 0": line(0),
  "one too many": line(2),
  "huge": b'{"process": 1%s, "host": "h", "facts": {}}\n' % (b"0" * 5000),
  "a long host": line(host="h" * 1000),
  "two lines": line(host="error: all is lost\nh"),
  "deep facts": line(facts={"jax": ["1.0"]}),
  "many facts": line(facts={str(n): "" for n in range(1000)}),
  "nothing": b"",
  "half": b'{"process": ',
}


def test_who_is_no_process_keeps_nobody_waiting(capsys):
  with process_0() as (port, first), contextlib.ExitStack() as stack:
    for said in ODD.values():
      stack.enter_context(stranger(port, said))
    began = time.monotonic()
    meet(f"localhost:{port}", 1, 2, SAME, 20)
    first.result()
    assert time.monotonic() - began < guests.LINE_SECONDS / 2
  told = capsys.readouterr().out.splitlines()
  assert 0 < len(told) < len(ODD) and all("ignored" in line for line in told)


def test_a_slow_stranger_holds_up_no_verdict():
  with process_0(timeout=1) as (port, first), stranger(port) as slow:
    began = time.monotonic()
    while not first.done() and time.monotonic() - began < 10:
      with contextlib.suppress(ConnectionError):
        slow.sendall(b"x")
      time.sleep(0.1)
    with pytest.raises(UserError, match="process 1 of 2 did not come"):
      first.result()
    assert time.monotonic() - began < 3


def test_of_many_strangers_the_first_are_let_go(monkeypatch):
  monkeypatch.setattr(guests, "_STRANGERS", 3)
  with process_0() as (port, first), contextlib.ExitStack() as stack:
    many = [stack.enter_context(stranger(port)) for _ in range(8)]
    many[0].settimeout(20)
    assert many[0].recv(1) == b""
    meet(f"localhost:{port}", 1, 2, SAME, 20)
    first.result()


def test_a_number_beyond_is_told_so_and_the_others_go_on():
  with process_0() as (port, first):
    with pytest.raises(UserError, match="with --processes 2: .* no process 5"):
      meet(f"localhost:{port}", 5, 8, SAME, 20)
    meet(f"localhost:{port}", 1, 2, SAME, 20)
    first.result()


def test_no_more_open_files_are_an_error():
  class Full(socket.socket):
    def accept(self):
      raise OSError(errno.EMFILE, "Too many open files")

  with Full() as server:
    server.bind(("localhost", 0))
    server.listen()
    with (
      socket.create_connection(server.getsockname()),
      guests.Guests(server, {}, 2) as all_of_them,
      pytest.raises(UserError, match="all 2 processes .*ulimit"),
    ):
      all_of_them.wait(20)


def test_one_that_came_and_went_is_missing():
  # Of three, so that nobody is judged before its end is heard.
  with process_0(processes=3, timeout=1) as (port, first):
    stranger(port, line()).close()
    with pytest.raises(UserError, match="processes 1, 2 of 3 did not come"):
      first.result()


def test_one_that_was_started_again_is_there_once():
  with process_0(processes=4) as (port, first), stranger(port, line(2)):
    stranger(port, line()).close()
    again = {"processes": "4"} | SAME
    with stranger(port, line(facts=again)):
      # Nobody is judged before the last has come.
      with pytest.raises(UserError, match="process 2 .h. has processes absent"):
        meet(f"localhost:{port}", 3, 4, SAME, 20)
      with pytest.raises(UserError, match="process 2 .h. has processes absent"):
        first.result()


@pytest.mark.parametrize(
  "said, message",
  [
    (b"[" * 60_000 + b"\n", "another program"),
    (b'{"error": 5}\n', "another program"),
    (b"x" * (1 << 18), "another program"),
    (b'{"error": "one\\ntwo"}\n', "^one two$"),
    (b"", "did not say within 0.2 s"),
  ],
  ids=["nested", "number", "endless", "lines", "nothing"],
)
def test_what_is_no_process_0_is_an_error_in_time(monkeypatch, said, message):
  monkeypatch.setattr(rendezvous, "LINE_SECONDS", 0.2)
  with (
    socket.create_server(("localhost", 0)) as server,
    concurrent.futures.ThreadPoolExecutor(1) as pool,
  ):
    port = server.getsockname()[1]
    other = pool.submit(meet, f"localhost:{port}", 1, 2, SAME, 0.2)
    connection, _ = server.accept()
    with connection:
      connection.settimeout(5)
      with contextlib.suppress(OSError):
        connection.sendall(said)
      while not said and not other.done():  # a byte at a time, for ever
        with contextlib.suppress(OSError):
          connection.sendall(b"x")
        time.sleep(0.05)
      with pytest.raises(UserError, match=message) as raised:
        other.result(20)
    assert "\n" not in str(raised.value)


def test_a_connection_to_itself_is_nobody(monkeypatch):
  def to_itself(address, timeout):
    connection = socket.socket()
    connection.bind(("127.0.0.1", free_port()))
    connection.connect(connection.getsockname())
    return connection

  monkeypatch.setattr(socket, "create_connection", to_itself)
  (said,) = meeting(2, [1], timeout=0.3)
  assert "cannot reach process 0" in said


def test_a_name_that_nobody_knows_is_an_error(monkeypatch):
  def unknown(*unused, **also_unused):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

  monkeypatch.setattr(socket, "getaddrinfo", unknown)
  with pytest.raises(UserError, match="nowhere:1 in 0.2 s .Name or service"):
    meet("nowhere:1", 1, 2, SAME, 0.2)


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
    (("here:99999", 2, 1), "write HOST:PORT"),
    (("here:abc", 2, 1), "write HOST:PORT"),
    (("here:" + "1" * 5000, 2, 1), "write HOST:PORT"),
    (("h" * 70 + ":1", 2, 1), "write HOST:PORT"),
    (("a..b:1", 2, 1), "write HOST:PORT"),
    (("http://here:1", 2, 1), "write HOST:PORT"),
    (("here:1", 10**30, 1), "give 1 to 65536"),
    (("here:1", 2, 10**30), "count from 0 to 1"),
    (("here:1", 2, -1), "count from 0 to 1"),
  ],
)
def test_flags_that_do_not_make_sense_are_refused(given, message):
  with pytest.raises(UserError, match=message):
    member(*given)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_a_time_that_is_none_is_refused(seconds):
  with pytest.raises(UserError, match="join_timeout"):
    find_membership("here:1", 2, 1, None, seconds)


@pytest.mark.parametrize(
  "given",
  [{"processes": 2}, {"process": 0}, {"coordinator": "a:1"}]
  + [{"distributed": True}],
  ids=str,
)
def test_a_command_of_one_process_is_not_one_of_several(given, monkeypatch):
  called = []
  monkeypatch.setattr(cli, "run", lambda main: main())
  monkeypatch.setattr(
    configured.app, "run", lambda call, **_: call(["command"])
  )
  with (
    flagsaver.flagsaver(**given),
    pytest.raises(
      UserError, match=f"--{[*given][0]}: this command is one proc"
    ),
  ):
    configured.run(lambda *args: called.append(args), alone=True)
  assert not called


def test_no_cluster_to_ask_is_an_error(monkeypatch):
  for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri"):
    monkeypatch.delenv(name, raising=False)
  with pytest.raises(UserError, match="no cluster that JAX knows"):
    member(None, None, None, distributed=True)
