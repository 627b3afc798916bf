"""The programs of a run, compiled for machines that are not here.

The train step is that of `training.loop.fit`: the same functions, lowered by
the same code, from shapes instead of arrays.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from eartalk_jax.attention.splash import busy_share
from eartalk_jax.denoising.guidance import NO_GUIDANCE
from eartalk_jax.hlo import module as hlo
from eartalk_jax.scaling.traced import kernel_flops
from eartalk_jax.training import talker_training
from eartalk_jax.training.lowering import abstract_state, placed, trace_step
from eartalk_jax.training.parallelism import check_mesh
from eartalk_jax.training.sharding import (
  batch_shardings,
  check_batch,
  make_mesh,
  replicated,
)
from eartalk_jax.training.train_step import make_init, make_step

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on one device.

  Attributes:
    arguments: of the state and the batch.
    temporaries: while the program runs.
    outputs: beyond what takes the place of an argument.
    code: of the program.
    limit: what the device has, by the compiler if it says so.
  """

  arguments: float
  temporaries: float
  outputs: float
  code: float
  limit: float

  @property
  def peak(self):
    """All of it: the runtime holds the temporaries as one block."""
    return self.arguments + self.temporaries + self.outputs + self.code

  @property
  def fits(self):
    """Whether the device has as much."""
    return self.peak <= self.limit


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A compiled program.

  Attributes:
    memory: Memory.
    program: hlo.Program; None if the compiler gave up for lack of memory.
    mesh: what it runs on.
    parameters: of the model; parameters_per_device of them on each device.
    held: bytes on a device between calls: parameters, moments and average, or a
      stream and its model.
  """

  memory: Memory
  program: hlo.Program | None
  mesh: jax.sharding.Mesh
  parameters: int
  parameters_per_device: int
  held: float


def train_step(recipe, model, frames, run, topology):
  """Compiles the train step of a config.

  Args:
    recipe: Recipe.
    model: TalkerConfig.
    frames: of a training window.
    run: RunConfig.
    topology: Topology.

  Returns:
    Compiled.

  Raises:
    UserError: mesh, batch and model do not go together.
  """
  mesh = make_mesh(run.mesh, topology.devices)
  check_batch(run.batch_size, mesh, run.accumulate)
  check_mesh(model, recipe.visibility(model), frames, mesh)
  functions = talker_training.functions(recipe, model, mesh, run.optimizer)
  batch = talker_training.batch_shapes(model, run.batch_size, frames)
  batch = placed(batch, batch_shardings(batch, mesh))
  key = jax.eval_shape(lambda: jax.random.key(0))
  key = placed(key, replicated(mesh))
  multipliers = functions["multipliers"]
  init = make_init(run, functions["init_params"], multipliers)
  step = make_step(run, functions["loss_fn"], multipliers)
  with jax.set_mesh(mesh):
    state = abstract_state(init, mesh, functions["rules"])
    traced = trace_step(step, state, None, batch, key)
    return compiled(traced, state, batch, state.params, mesh, topology)


def frame_step(recipe, model, topology, streams=1):
  """Compiles the step that makes one latent of some streams, on one device.

  Args:
    recipe: Recipe.
    model: TalkerConfig.
    topology: Topology.
    streams: how many.

  Returns:
    Compiled.
  """
  mesh, put = alone(topology)
  network = recipe.model(model)
  told = 1 + recipe.AHEAD
  batch = talker_training.batch_shapes(model, streams, told)
  batch = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), batch)

  def opened():
    params = recipe.init_params(network)(jax.random.key(0))
    weights = recipe.prepare(params)
    keys_B = jax.random.split(jax.random.key(0), streams)
    state = recipe.open(
      network, weights, batch["sink_BShwC"], keys_B, batch["portrait"]
    )
    return weights, state, params

  weights, state, params = map(put, jax.eval_shape(opened))
  signals = put(jax.eval_shape(lambda: batch["signals"]))

  def step(weights, state, signals):
    return recipe.step(network, weights, state, signals, NO_GUIDANCE)

  traced = jax.jit(step, donate_argnums=1).trace(weights, state, signals)
  held = weights, state
  return compiled(traced, held, signals, params, mesh, topology)


def alone(topology):
  """(mesh of one device of a Topology, what puts a tree of shapes on it)."""
  device = topology.devices[0]
  here = SingleDeviceSharding(device)

  def put(tree):
    return placed(tree, jax.tree.map(lambda _: here, tree))

  return jax.sharding.Mesh([device], ("data",)), put


def compiled(traced, held, given, params, mesh, topology):
  """Compiles what was traced.

  Args:
    traced: of `jax.jit`, for shapes that are placed on a mesh.
    held: its arguments that stay on the devices between calls, as shapes.
    given: its other arguments.
    params: those among `held` that are weights.
    mesh: what it runs on.
    topology: Topology.

  Returns:
    Compiled.
  """
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  numbers = count, sum(map(_part, jax.tree.leaves(params))), bytes_of(held)
  try:
    done = traced.lower().compile()
  except jax.errors.JaxRuntimeError as error:
    memory = _refused(str(error), bytes_of((held, given)), topology)
    if memory is None:
      raise
    return Compiled(memory, None, mesh, *numbers)
  stats = done.memory_analysis()
  # What a program does not read, such as an encoder beside its decoder, is
  # none of its arguments, and lies there all the same.
  memory = Memory(
    max(stats.argument_size_in_bytes, bytes_of((held, given))),
    stats.temp_size_in_bytes,
    stats.output_size_in_bytes - stats.alias_size_in_bytes,
    stats.generated_code_size_in_bytes,
    topology.chip.hbm_bytes,
  )
  kernels = kernel_flops(traced.jaxpr.jaxpr, busy_share) / mesh.size
  program = hlo.analyse(done.as_text(), mesh.size, kernels)
  return Compiled(memory, program, mesh, *numbers)


def _refused(text, arguments, topology):
  """The Memory that a compiler asked for in vain; None for other errors."""
  if "RESOURCE_EXHAUSTED" not in text:
    return None
  sizes = [
    float(number) * _UNITS[unit]
    for number, unit in re.findall(r"([\d.]+)([KMGT])\b", text)
  ]
  needed, limit = sizes[:2] if len(sizes) > 1 else (0.0, 0.0)
  # Some messages tell temporaries, others all of it.
  temporaries = needed if "temporaries" in text else needed - arguments
  limit = min(limit, topology.chip.hbm_bytes) or topology.chip.hbm_bytes
  return Memory(arguments, max(temporaries, limit), 0.0, 0.0, limit)


def bytes_of(tree):
  """Bytes of a tree of shapes on one device."""
  return sum(
    _part(leaf) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
  )


def _part(leaf):
  """Numbers of an array that lie on one device."""
  size = 1
  for length in leaf.sharding.shard_shape(leaf.shape):
    size *= length
  return size
