"""The proof that a config fits a machine, made in a process of its own.

A compiler that meets what it cannot do may abort its whole process.
"""

import contextlib
import importlib.metadata

import jax

from eartalk_jax import recipes
from eartalk_jax.aot import compiling, report
from eartalk_jax.aot.topology import topology
from eartalk_jax.errors import UserError
from eartalk_jax.processes import apart


def proof(config, name, slices=1):
  """Yields the proof's parts, as each is compiled.

  In turn: the number of devices, the report of the train step, that of a
  streamed frame, and the assumptions of both.

  Args:
    config: has `recipe`, `model`, `data.frames` and `run`.
    name: of the topology.
    slices: TPU slices of it.

  Raises:
    UserError: there is no such machine, the config does not go with it, or
      the compiler did not survive it.
  """
  try:
    with contextlib.closing(apart.each(_prove, config, name, slices)) as parts:
      yield from parts
  except apart.Died as end:
    raise _failed(name, end.how, end.said) from None


def _prove(config, name, slices):
  target = topology(name, slices)
  yield len(target.devices)
  try:
    recipe = recipes.of(config.recipe.kind)
    step = compiling.train_step(
      recipe, config.model, config.data.frames, config.run, target
    )
    yield report.train_report(config, step, target)
    frame = compiling.frame_step(recipe, config.model, target)
  except jax.errors.JaxRuntimeError as error:
    said = str(error).strip().splitlines()[0]
    raise _failed(name, "refuses", said) from None
  except (OverflowError, MemoryError) as error:
    raise UserError(
      f"config: a size is too large to compile ({error})"
    ) from None
  yield report.frame_report(config, frame, target)
  yield report.assumptions(target)


def versions():
  """What compiles, in words: jax 1, jaxlib 1, libtpu 2."""
  found = []
  for package in ("jax", "jaxlib", "libtpu"):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found.append(f"{package} {importlib.metadata.version(package)}")
  return ", ".join(found)


def _failed(name, how, said):
  """The UserError of a compiler that did not compile."""
  said = f": {said}" if said else "; it left no word"
  return UserError(
    f"--topology {name}: the compiler {how} ({versions()}){said}"
  )
