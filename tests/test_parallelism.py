"""Clips split over time: the same numbers for one halo."""

import collections
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers
from tiny import run_config

from eartalk_jax.attention import sfa
from eartalk_jax.attention.visibility import Around, Causal, Chunks
from eartalk_jax.checkpoints.claim import Claim
from eartalk_jax.errors import UserError
from eartalk_jax.hlo import module as hlo
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.recipes import ear
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.training.loop import fit
from eartalk_jax.training.parallelism import check_mesh, placement_on
from eartalk_jax.training.sharding import (
  TALKER_RULES,
  MeshConfig,
  batch_shardings,
  make_mesh,
  tree_shardings,
)

# Eight heads, so that the tensor axis can take eight devices.
CFG = dataclasses.replace(
  talkers.TINY,
  width=32,
  depth=2,
  heads=8,
  head=dataclasses.replace(talkers.TINY.head, width=32, heads=8),
)
FRAMES = 16  # two for each of eight parts: just what a window of 3 reaches


@pytest.mark.parametrize(
  ("view", "kind"),
  [
    (Causal(1), "relative"),
    (Causal(3), "cyclic"),
    (Around(2), "relative"),
    (Chunks(3, 0), "relative"),
  ],
  ids=str,
)
def test_split_attention_and_its_gradient_equal_the_definition(view, kind):
  mesh = make_mesh(MeshConfig(2, 1, 1, 4))
  band = sfa.Band(view, 2, kind)
  keys = jax.random.split(jax.random.key(0), 5)
  clips = [jax.random.normal(k, (2, 12, 5, 2, 8)) for k in keys[:3]]
  sinks = [jax.random.normal(k, (2, 3, 2, 8)) for k in keys[3:]]
  first_B = jnp.array([0, 2])

  def total(form):
    def of(*arrays):
      out_BTPHK = form(*arrays, band, first_B)
      weight_T1 = jnp.arange(12.0)[:, None, None, None]
      return jnp.sum(jnp.sin(out_BTPHK) * weight_T1[None])

    return jax.jit(jax.value_and_grad(of, argnums=range(5)))(*clips, *sinks)

  got, want = total(placement_on(mesh, "float32").attend), total(sfa.dense)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def _bytes_of_collectives(rows, frames, *sizes):
  """{kind: bytes} that a device passes on in the compiled gradient."""
  parts = math.prod(sizes)
  mesh = make_mesh(MeshConfig(*sizes), jax.devices()[:parts])
  model = Talker(CFG, placement_on(mesh, CFG.dtype))
  params = jax.eval_shape(init_params(model), jax.random.key(0))
  batch = jax.eval_shape(lambda: talkers.batch(CFG, rows, frames))
  params, batch = (
    jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, at
    )
    for tree, at in (
      (params, tree_shardings(params, mesh, TALKER_RULES)),
      (batch, batch_shardings(batch, mesh)),
    )
  )
  loss_fn = talkers.talker_loss(model)
  with jax.set_mesh(mesh):
    gradient = jax.jit(jax.grad(lambda *x: loss_fn(*x)))
    text = gradient.lower(params, batch, jax.random.key(0)).compile().as_text()
  found = collections.Counter()
  for collective in hlo.analyse(text, parts).collectives:
    found[collective.kind] += collective.payload * collective.times
  return found


def test_twice_the_clip_on_twice_the_devices_costs_no_more_communication():
  once = _bytes_of_collectives(1, 8, 1, 1, 1, 4)
  twice = _bytes_of_collectives(1, 16, 1, 1, 1, 8)
  assert once == twice
  # Halos and the sum of gradients, nothing else.
  assert set(once) == {"collective-permute", "all-reduce"}
  halo = 2 * (CFG.window - 1) * CFG.tokens * CFG.width * 4  # keys and values
  frame = CFG.tokens * CFG.token_width * 4  # the frame before the first
  assert once["collective-permute"] == 2 * CFG.depth * halo + frame


def test_split_weights_move_and_activations_do_not():
  found = _bytes_of_collectives(8, 4, 1, 8)
  assert set(found) <= {"all-gather", "all-reduce", "reduce-scatter"}
  model = Talker(CFG)
  params = jax.eval_shape(init_params(model), jax.random.key(0))
  size = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
  # Once for the forward pass and, if they are not kept, once for the other.
  assert 0.5 * size < found["all-gather"] < 2.1 * size


class _Clips:
  """Random clips; a function of the step."""

  fingerprint = {"of": "random clips"}

  def iterate(self, step):
    while True:
      batch = talkers.batch(CFG, rows=8, frames=FRAMES, seed=step)
      yield jax.tree.map(np.asarray, batch)
      step += 1


def _losses(workdir, mesh):
  model = Talker(CFG, placement_on(mesh, CFG.dtype))

  def loss_fn(params, frozen, batch, key):
    return ear.losses(model, params, frozen, batch, key).mean(), {}

  fit(
    run_config(steps=20, log_every=1, save_every=100),
    init_params=init_params(model),
    loss_fn=loss_fn,
    rules=TALKER_RULES,
    batches=_Clips(),
    workdir=workdir,
    claim=Claim({}),
    fingerprint={},
    mesh=mesh,
  )
  return np.array([line["loss"] for line in read_metrics(workdir)])


@pytest.fixture(scope="module")
def losses_of_one_device(tmp_path_factory):
  mesh = make_mesh(devices=jax.devices()[:1])
  losses = _losses(tmp_path_factory.mktemp("one"), mesh)
  assert losses[-1] < 0.9 * losses[0]
  return losses


@pytest.mark.parametrize(
  "mesh",
  [
    (1, 2, 2, 2),
    pytest.param((8,), marks=pytest.mark.proof),
    pytest.param((1, 8), marks=pytest.mark.proof),
    pytest.param((1, 1, 8), marks=pytest.mark.proof),
    pytest.param((1, 1, 1, 8), marks=pytest.mark.proof),
  ],
  ids=str,
)
def test_every_mesh_learns_the_same(tmp_path, losses_of_one_device, mesh):
  losses = _losses(tmp_path, make_mesh(MeshConfig(*mesh)))
  np.testing.assert_allclose(losses, losses_of_one_device, rtol=1e-5)


@pytest.mark.parametrize(
  ("mesh", "frames", "message"),
  [
    ((1, 1, 1, 8), 12, "context=8 cannot split data.frames=12"),
    ((1, 1, 1, 8), 8, "at least the 2 .* multiple of 8 from 16 on"),
    ((1, 1, 8), 16, "tensor=8 does not divide model.heads=2"),
  ],
)
def test_a_mesh_that_does_not_fit_the_model_is_refused(mesh, frames, message):
  view = Causal(talkers.TINY.window)
  with pytest.raises(UserError, match=message):
    check_mesh(talkers.TINY, view, frames, make_mesh(MeshConfig(*mesh)))
