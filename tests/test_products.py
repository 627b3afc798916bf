"""Our dense layers are Flax's, gradients included."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from eartalk_jax.layers.products import Dense, DenseGeneral

LAYERS = {
  "rows": (nn.Dense, Dense, {"features": 6}, (2, 3, 5, 4)),
  "one row": (nn.Dense, Dense, {"features": 6}, (4,)),
  "split": (nn.DenseGeneral, DenseGeneral, {"features": (2, 3)}, (7, 3, 4)),
  "merge": (
    nn.DenseGeneral,
    DenseGeneral,
    {"features": 6, "axis": (-2, -1)},
    (5, 3, 2, 4),
  ),
}


def _gradients(layer, params, x):
  def loss(params, x):
    return jnp.sum(jnp.sin(layer.apply(params, x).astype(jnp.float32)))

  return jax.grad(loss, argnums=(0, 1))(params, x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_are_those_of_flax(name, dtype):
  theirs, ours, settings, shape = LAYERS[name]
  x = jax.random.normal(jax.random.key(0), shape)
  theirs, ours = theirs(**settings, dtype=dtype), ours(**settings, dtype=dtype)
  params = theirs.init(jax.random.key(1), x)
  same_bits = functools.partial(jax.tree.map, np.testing.assert_array_equal)
  same_bits(ours.init(jax.random.key(1), x), params)
  same_bits(ours.apply(params, x), theirs.apply(params, x))
  near = functools.partial(
    np.testing.assert_allclose,
    rtol=2e-2 if dtype == "bfloat16" else 1e-5,
    atol=1e-6,
  )
  expected = jax.jit(_gradients, static_argnums=0)(theirs, params, x)
  found = jax.jit(_gradients, static_argnums=0)(ours, params, x)
  jax.tree.map(near, found, expected)


def _joins(mesh_size, platform):
  """Whether the gradient of a kernel of three leading axes is over one."""
  layer, x = Dense(6), jnp.ones((2, 3, 5, 4))
  params = layer.init(jax.random.key(0), x)
  mesh = jax.make_mesh(
    (mesh_size,),
    ("data",),
    axis_types=(AxisType.Auto,),
    devices=jax.devices()[:mesh_size],
  )
  with jax.set_mesh(mesh):
    traced = jax.jit(_gradients, static_argnums=0).trace(layer, params, x)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
  # 2 x 3 x 5 rows.
  return "30x6xf32" in text


def test_rows_are_joined_on_one_cpu_alone():
  assert _joins(1, "cpu")
  assert not _joins(1, "tpu")
  assert not _joins(1, "cuda")
  assert not _joins(2, "cpu")
