"""Runs independent jobs in processes that never outlive their parent."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading

from eartalk_jax.errors import UserError


def cores():
  """Cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def run_jobs(function, jobs, workers):
  """Yields (job, function(job)) in the order in which they get done.

  Args:
    function: importable by name, for it runs in spawned processes.
    jobs: its arguments, picklable.
    workers: number of processes; 1 works in this process.

  Raises:
    UserError: raised by a job, or a process was killed. Jobs that have not
      begun are given up then.
  """
  if workers == 1:
    for job in jobs:
      yield job, function(job)
    return
  pool = concurrent.futures.ProcessPoolExecutor(
    min(workers, max(len(jobs), 1)),
    multiprocessing.get_context("spawn"),
    initializer=_begin,
  )
  try:
    futures = {pool.submit(function, job): job for job in jobs}
    for future in concurrent.futures.as_completed(futures):
      yield futures[future], future.result()
  except concurrent.futures.process.BrokenProcessPool:
    raise UserError(
      "a worker process was killed, for want of memory perhaps; run the same "
      "command again, with fewer --workers"
    ) from None
  except (KeyboardInterrupt, SystemExit):
    for worker in multiprocessing.active_children():
      worker.terminate()  # it would finish its job first
    raise
  finally:
    pool.shutdown(cancel_futures=True)


def _begin():
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
  threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent():
  # A killed parent cannot tell its workers, which would wait for ever.
  multiprocessing.parent_process().join()
  os._exit(1)
