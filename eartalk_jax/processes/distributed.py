"""How a command becomes one of several processes.

Nothing said: one process. Said by hand: coordinator, processes, process. Or
`distributed`: the cluster (TPU pods, GKE, SLURM, Open MPI) knows all three.
"""

import collections
import dataclasses
import math
import os
import platform

import jax
import jaxlib

# JAX offers neither of these in public; both are as old as jax.distributed.
from jax._src import clusters
from jax._src.distributed import global_state

from eartalk_jax.errors import UserError, one_line
from eartalk_jax.processes.rendezvous import meet, split_address

# How clusters tell a process that it has company.
_COUNTS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "MEGASCALE_NUM_SLICES")
_LISTS = ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")
# Nobody has more; process 0 makes a list of them.
_MOST = 1 << 16


@dataclasses.dataclass(frozen=True)
class Membership:
  """Which process this is.

  Attributes:
    coordinator: HOST:PORT, where process 0 listens.
    processes: how many there are.
    process: which one this is, from 0.
    devices: numbers of the host's devices that are this process's; None: all.
  """

  coordinator: str
  processes: int
  process: int
  devices: tuple[int, ...] | None = None


def find_membership(coordinator, processes, process, distributed, timeout):
  """What the flags and the cluster say: a Membership, or None for one process.

  Args:
    coordinator, processes, process: by hand, or None.
    distributed: True to ask the cluster for what is None, False to stay alone
      whatever the cluster says, None to stay alone where there is none.
    timeout: seconds.

  Raises:
    UserError: they contradict each other, or the cluster does not say.
  """
  given = (coordinator, processes, process)
  if distributed is False or (distributed is None and given == (None,) * 3):
    if given != (None,) * 3:
      raise UserError(
        "--nodistributed contradicts --coordinator, --processes, --process"
      )
    if distributed is None:
      _refuse_company()
    return None
  devices = None
  if distributed:
    coordinator, processes, process, devices = _ask_cluster(given, timeout)
  missing = [
    f"--{name}"
    for name, value in zip(
      ("coordinator", "processes", "process"),
      (coordinator, processes, process),
      strict=True,
    )
    if value is None
  ]
  if missing:
    more = "; this is no cluster that JAX knows" if distributed else ""
    raise UserError(f"{' and '.join(missing)} is needed, too{more}")
  if not 0 < processes <= _MOST:
    raise UserError(f"--processes {processes}: give 1 to {_MOST}")
  if not 0 <= process < processes:
    raise UserError(
      f"--process {process} of --processes {processes}: count from 0 to "
      f"{processes - 1}"
    )
  if not 0 < timeout < math.inf:
    raise UserError(f"--join_timeout {timeout}: give a number of seconds")
  split_address(coordinator)
  devices = None if devices is None else tuple(devices)
  return Membership(coordinator, processes, process, devices)


def join(membership, timeout):
  """Meets the other processes; to be called before JAX looks for devices.

  Args:
    membership: of `find_membership`.
    timeout: seconds that the others have to come.

  Raises:
    UserError: somebody is missing, is there twice or has other versions; the
      message says who.
  """
  versions = {
    "python": platform.python_version(),
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
  }
  m = membership
  meet(m.coordinator, m.process, m.processes, versions, timeout)
  # It would swallow SIGTERM in all phases but one; see `interruption`.
  jax.config.update("jax_enable_preemption_service", False)
  try:
    jax.distributed.initialize(
      m.coordinator,
      m.processes,
      m.process,
      m.devices,
      # Nothing is left to be found out.
      cluster_detection_method="deactivate",
      initialization_timeout=max(int(timeout), 1),
      # Process 0 may have something to do when the others are done.
      shutdown_timeout_seconds=3600,
    )
  except RuntimeError as error:
    raise UserError(
      f"all {m.processes} processes have come, but JAX cannot join them at "
      f"{m.coordinator} ({one_line(error, most=300)}); run the same command "
      "again, or give another port to all processes"
    ) from error


def _refuse_company():
  """Raises UserError where one of many would train a model of its own."""
  for name in _COUNTS:
    if os.environ.get(name, "1") not in ("", "1"):
      raise UserError(_alone(f"{name}={os.environ[name]}"))
  for name in _LISTS:
    if "," in os.environ.get(name, ""):
      raise UserError(_alone(f"{name} names several hosts"))


def _alone(why):
  return (
    f"this looks like one process of several ({why}); add --distributed to "
    "join the others, or --nodistributed to run here alone"
  )


def _ask_cluster(given, timeout):
  try:
    return clusters.ClusterEnv.auto_detect_unset_distributed_params(
      *given, None, None, timeout
    )
  except Exception as error:  # whatever a cluster's metadata may do wrong
    raise UserError(
      f"--distributed: the cluster does not say who is who ({error}); give "
      "--coordinator, --processes and --process"
    ) from error


def wait_for_all(what, timeout=7200.0):
  """Returns once all processes are here.

  To be called before they first compute together: the collectives of CPUs wait
  30 s for each other, and one host may compile for minutes longer than another.

  Args:
    what: was done before, for the message.
    timeout: seconds.

  Raises:
    UserError: somebody did not come.
  """
  if global_state.client is None:
    return
  name = Board(what).path
  try:
    global_state.client.wait_at_barrier(name, int(1000 * timeout))
  except jax.errors.JaxRuntimeError as error:
    raise UserError(
      f"not all processes were done with {what} within {timeout:g} s: "
      f"{error}; look at their logs"
    ) from None


class Board:
  """What processes write for each other to read, at the coordinator.

  Attributes:
    path: where its keys are.
    process, processes: which one this is, of how many.
  """

  _made = collections.Counter()

  def __init__(self, topic):
    """Every process has to make its boards of one topic in the same order."""
    self._client = global_state.client
    self.process = global_state.process_id
    self.processes = global_state.num_processes
    self._made[topic] += 1
    self.path = f"eartalk/{topic}.{self._made[topic]}"

  def put(self, name, text):
    """Writes a name once; returns whether it was free."""
    try:
      self._client.key_value_set(f"{self.path}/{name}", text)
    except jax.errors.JaxRuntimeError:
      return False
    return True

  def look(self, name):
    """The text of a name, or None while there is none."""
    try:
      return self._client.key_value_try_get(f"{self.path}/{name}")
    except jax.errors.JaxRuntimeError:
      return None

  def get(self, name, timeout):
    """Waits for a name; returns its text, or None after `timeout` seconds."""
    try:
      return self._client.blocking_key_value_get(
        f"{self.path}/{name}", max(int(1000 * timeout), 1)
      )
    except jax.errors.JaxRuntimeError:
      return None
