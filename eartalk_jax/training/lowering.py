"""The train step before it runs: its state in shapes, and its program.

`loop.fit` and the ahead-of-time proof go through here, so that what is
proven is what runs.
"""

import jax

from eartalk_jax.training.sharding import replicated, tree_shardings


def abstract_state(init, mesh, rules):
  """Shapes, types and shardings of the state that `init(key)` makes."""
  # No key is made: the mesh may be of devices that are not here.
  shapes = jax.eval_shape(lambda: init(jax.random.key(0)))
  return placed(shapes, tree_shardings(shapes, mesh, rules))


def placed(shapes, shardings):
  """A tree of shapes with a tree of shardings."""
  return jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding
    ),
    shapes,
    shardings,
  )


def trace_step(step, state, frozen, batch, *rest):
  """The train step for one shape of batch, on the mesh that is set; to lower.

  Args:
    step: from `train_step.make_step`.
    state, frozen, batch: arrays, or shapes with shardings; the state alone is
      given away.
    rest: what else it takes; the same.
  """
  shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
  everywhere = replicated(jax.sharding.get_mesh())
  step = jax.jit(step, donate_argnums=0, out_shardings=(shardings, everywhere))
  return step.trace(state, frozen, batch, *rest)
