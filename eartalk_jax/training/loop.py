"""The training loop: one compiled step on one mesh, whatever the loss.

  loss_fn(params, frozen, batch, key) -> (scalar, {name: scalar})

`frozen` is a tree of arrays that is read and never changed, a teacher's
parameters say: it lies on the mesh by the rules of the parameters and is in no
checkpoint, but the run's fingerprint holds its own.

A run is a function of (config, seed, data): the key of a step is folded from
its number, and `batches.iterate(step)` begins at any step. So a run that was
killed and started again ends with the same bits as one that was not.
"""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.checkpoints.checkpoint import Checkpoints
from eartalk_jax.checkpoints.claim import Claim, holding
from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import learning_rate
from eartalk_jax.processes.distributed import wait_for_all
from eartalk_jax.processes.interruption import Listener, listening
from eartalk_jax.processes.missed import tell_missed
from eartalk_jax.processes.preflight import check_shared
from eartalk_jax.processes.watchdog import Watchdog
from eartalk_jax.telemetry.events import EventLog
from eartalk_jax.telemetry.metrics import MetricWriter
from eartalk_jax.telemetry.profiling import Profile
from eartalk_jax.telemetry.progress import StepProgress, working
from eartalk_jax.telemetry.utilization import Utilization
from eartalk_jax.training.compilation import (
  cache_text,
  counting_cache,
  use_compile_cache,
)
from eartalk_jax.training.lowering import abstract_state, trace_step
from eartalk_jax.training.run_config import run_fingerprint
from eartalk_jax.training.sharding import (
  check_batch,
  make_mesh,
  put_batch,
  put_tree,
  replicated,
)
from eartalk_jax.training.skips import SkipLog
from eartalk_jax.training.step_log import StepLog
from eartalk_jax.training.train_step import make_init, make_step
from eartalk_jax.trees import tree_fingerprint


def fit(
  run,
  *,
  init_params,
  loss_fn,
  rules,
  batches,
  workdir,
  claim,
  fingerprint,
  frozen=None,
  multipliers=None,
  diagnose=None,
  finish=None,
  flops_per_step=None,
  profile=None,
  mesh=None,
):
  """Trains to the end, or goes on where an earlier call was stopped.

  Args:
    run: RunConfig.
    init_params: key -> parameters.
    loss_fn: see above.
    rules: which parameter lives where, as in `sharding.TALKER_RULES`.
    batches: `.iterate(step)` gives this process's rows of batch number step,
      step + 1, ...; `.fingerprint` is a dictionary that names their origin;
      `.batch_ids(step)`, if there is such, names the samples of all processes.
    workdir: gets checkpoints/, events.jsonl, metrics.jsonl, skipped.jsonl,
      stalls/, tensorboard/ and profile/.
    claim: the Claim on it: what it is to say of this run.
    fingerprint: a dictionary of whatever else the result depends on.
    frozen: see above; None for nothing.
    multipliers: of updates, for `make_optimizer`.
    diagnose: (ema params, frozen, batch, key) -> {name: scalar}, or None.
    finish: called, by all processes, when the last step is saved, while the run
      still has its directory; None for nothing.
    flops_per_step: what a step of all devices computes, to tell FLOP/s and MFU.
    profile: first and last step of a trace into profile/, or None.
    mesh: by default all devices, as `run.mesh` says.

  Returns:
    The last TrainState.

  Raises:
    UserError: the work directory holds another run, another process is at work
      in it, or too many steps in a row were skipped. A start that is refused
      changes nothing there.
    KeyboardInterrupt, SystemExit: stopped by a signal, after saving.
  """
  use_compile_cache()
  mesh = mesh or make_mesh(run.mesh)
  check_batch(run.batch_size, mesh, run.accumulate)
  if frozen is not None:
    fingerprint = fingerprint | {"frozen": tree_fingerprint(frozen)}
  fingerprint = run_fingerprint(run, batches, fingerprint)
  if profile and profile[1] > run.steps:
    raise UserError(
      f"the profile ends with step {profile[1]}, but run.steps is {run.steps}; "
      "profile earlier steps"
    )
  init = make_init(run, init_params, multipliers)
  abstract = abstract_state(init, mesh, rules)
  init_key, *keys = jax.random.split(jax.random.key(run.seed), 3)
  # A program that no step of the run needs is not compiled.
  asked = diagnose if run.diagnose_every <= run.steps else None
  functions = make_step(run, loss_fn, multipliers), asked
  check_shared(workdir)
  work = _utilization(flops_per_step, mesh)
  with holding(workdir), listening() as interruption:
    claim.check(workdir)
    checkpoints = Checkpoints(workdir, run, fingerprint)
    with (
      EventLog(workdir) as events,
      Watchdog(run.watchdog, workdir, events),
      jax.set_mesh(mesh),
    ):
      place = _Place(workdir, claim, checkpoints, events, interruption)
      if frozen is not None:
        frozen = put_tree(frozen, mesh, rules)
      with checkpoints, interruption.training(events.write):
        tell_missed(workdir, checkpoints.source)
        state = _begin(init, init_key, abstract, place)
        events.tell(step=int(state.step), data_wait=0.0)
        if int(state.step) < run.steps:
          told = work, profile
          given = frozen, batches
          state = _advance(run, state, functions, given, keys, place, told)
        else:
          claim.write(workdir)
          print(f"{workdir}: all {run.steps} steps are done", flush=True)
      interruption.obey(f"saved step {int(state.step)} in {workdir}")
      if finish is not None:
        with events.phase("finish"):
          finish()
          wait_for_all("finishing")
  return state


@dataclasses.dataclass(frozen=True)
class _Place:
  """Where a run works, and who has a say in it."""

  workdir: str | os.PathLike
  claim: Claim
  checkpoints: Checkpoints
  events: EventLog
  interruption: Listener


def _advance(run, state, functions, given, keys, place, told):
  """Takes steps to the end, or to where all are told to stop."""
  (_, batches), (work, profile) = given, told
  step, workdir, events = int(state.step), place.workdir, place.events
  with (
    MetricWriter(workdir, step) as writer,
    StepProgress("training", step, run.steps) as progress,
    events.phase("step"),
  ):
    skips = SkipLog(run.guard, batches, workdir, step)
    window = place.checkpoints.window
    log = StepLog(run, writer, progress, events, skips, work, window)
    with Profile(workdir, profile, log, progress.say) as trace:
      steps = _steps(run, state, functions, given, keys, log, trace, place)
      return _save_some(run, steps, log, place)


def _save_some(run, steps, log, place):
  """Takes steps and saves as often as is due, and at the last."""
  checkpoints = place.checkpoints
  for step, state in steps:
    last = step == run.steps or place.interruption.requested(step)
    if last or step % run.save_every == 0:
      log.flush()
      with log.aside("checkpoint"):
        checkpoints.save(step, state, log.window)
    if last:
      break
  with log.aside("checkpoint"):
    checkpoints.settle()
  return state


def _utilization(flops_per_step, mesh):
  if flops_per_step is None:
    return None
  devices = mesh.devices.ravel()
  work = Utilization(flops_per_step, devices.size, devices[0].device_kind)
  if jax.process_index() == 0:
    print(work.text, flush=True)
  return work


def _begin(init, key, abstract, place):
  """The state of the last checkpoint, else a new one; sharded as `abstract`."""
  checkpoints, events = place.checkpoints, place.events
  shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
  checkpoints.check_space(abstract)
  if checkpoints.source is None or checkpoints.weights_only:
    with working("initialising"), events.phase("initialise"):
      # One jitted call: moments made outside of it would be replicated.
      init = jax.jit(init, out_shardings=shardings).lower(key).compile()
      wait_for_all("compiling")
      begun = jax.block_until_ready(init(key))
    if checkpoints.source is None:
      return begun
    weights = checkpoints.restore_weights(abstract.ema)
    # Not the same buffers: both are donated.
    return begun.replace(params=weights, ema=jax.tree.map(jnp.copy, weights))
  text = f"restoring step {checkpoints.source.name}"
  with working(text), events.phase("restore"):
    return checkpoints.restore(abstract)


def _steps(run, state, functions, given, keys, log, trace, place):
  """Yields (number, state) after each step; the state lasts until the next."""
  (frozen, batches), start = given, int(state.step)
  rates = np.asarray(
    learning_rate(run.optimizer, run.steps)(np.arange(start, run.steps)),
    np.float32,
  )
  mesh = jax.sharding.get_mesh()
  stream = (
    put_batch(rows, run.batch_size, mesh) for rows in batches.iterate(start)
  )
  with working("first batch and compiling") as notes:
    with log.aside("first batch"):
      batch = next(stream)
    with log.aside("compile"), counting_cache() as cache:
      step_fn, diagnose = _compile(*functions, state, frozen, batch, keys)
    wait_for_all("compiling")
    log.events.write("compiled", cache=dict(cache))
    notes.append(cache_text(cache))
  place.claim.write(place.workdir)
  log.begin()
  for step in range(start + 1, run.steps + 1):
    trace.before(step, step_fn)
    with jax.profiler.StepTraceAnnotation("train", step_num=step):
      rate = rates[step - 1 - start]
      state, metrics = step_fn(state, frozen, batch, keys[0], rate)
    log.push(step, metrics)
    if diagnose and step % run.diagnose_every == 0:
      key = jax.random.fold_in(keys[1], step)
      jax.block_until_ready(metrics)  # whose time is not the evaluation's
      with log.aside("eval"):
        scalars = diagnose(state.ema, frozen, batch, key)
        scalars = jax.block_until_ready(scalars)
      log.add(step, scalars)
    yield step, state
    with log.waiting():
      batch = next(stream)


def _compile(step, diagnose, state, frozen, batch, keys):
  """Compiles ahead, so that a batch of another shape is an error, not slow."""
  rate = np.float32(0)
  step = trace_step(step, state, frozen, batch, keys[0], rate)
  step = step.lower().compile()
  if diagnose is not None:
    everywhere = replicated(jax.sharding.get_mesh())
    diagnose = jax.jit(diagnose, out_shardings=everywhere)
    diagnose = diagnose.lower(state.ema, frozen, batch, keys[1]).compile()
  return step, diagnose
