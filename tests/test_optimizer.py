"""Schedules and averages against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import Batches, init_params, loss_fn, run_config

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import (
  OptimizerConfig,
  ema_decay,
  learning_rate,
  make_optimizer,
)
from eartalk_jax.training.run_config import RunConfig
from eartalk_jax.training.train_step import make_init, make_step


def test_the_rate_rises_linearly_and_falls_as_a_cosine():
  config = OptimizerConfig(
    peak_lr=0.4, warmup_steps=10, end_lr_fraction=0.1, decay="cosine"
  )
  rate = learning_rate(config, 110)
  found = [float(rate(step)) for step in range(111)]
  rise = [0.4 * (step + 1) / 10 for step in range(10)]
  fall = [
    0.4 * (0.1 + 0.9 * (1 + np.cos(np.pi * k / 100)) / 2) for k in range(101)
  ]
  np.testing.assert_allclose(found, rise + fall, rtol=1e-5)


def test_a_constant_rate_stays_at_its_peak():
  config = OptimizerConfig(peak_lr=0.4, warmup_steps=0, decay="constant")
  rate = learning_rate(config, 5)
  np.testing.assert_allclose([float(rate(k)) for k in range(6)], 0.4)


def test_wsd_rises_stays_and_falls_by_a_square_root():
  config = OptimizerConfig(
    peak_lr=0.4,
    warmup_steps=10,
    decay="wsd",
    decay_steps=20,
    end_lr_fraction=0.1,
  )
  rate = learning_rate(config, 100)
  found = [float(rate(step)) for step in range(101)]
  rise = [0.4 * (step + 1) / 10 for step in range(10)]
  fall = [0.4 * (0.1 + 0.9 * (1 - np.sqrt(k / 20))) for k in range(21)]
  np.testing.assert_allclose(found, rise + [0.4] * 70 + fall, rtol=1e-5)


def test_wsd_runs_of_all_lengths_are_one_until_they_fall():
  def rates(steps, decay_steps):
    config = OptimizerConfig(
      peak_lr=0.4, warmup_steps=10, decay="wsd", decay_steps=decay_steps
    )
    return jax.vmap(learning_rate(config, steps))(jnp.arange(steps))

  long, short = rates(100, 20), rates(60, 12)
  np.testing.assert_array_equal(long[:49], short[:49])
  assert short[49] < long[49] and short[-1] < 0.05 * long[59]


@pytest.mark.parametrize(
  ("optimizer", "message"),
  [
    ({"decay": "wsd"}, "needs decay_steps"),
    ({"decay": "cosine", "decay_steps": 4}, "decay_steps is for"),
    ({"decay": "wsd", "decay_steps": 8}, "are 1 more than the 12 steps"),
  ],
)
def test_a_fall_that_nobody_asked_for_or_that_does_not_fit_is_refused(
  optimizer, message
):
  settings = {"peak_lr": 0.1, "warmup_steps": 5} | optimizer
  run = {"steps": 12, "batch_size": 8, "optimizer": settings}
  with pytest.raises(UserError, match=message):
    from_config(RunConfig, run)


def test_only_kernels_decay():
  config = OptimizerConfig(peak_lr=1.0, warmup_steps=0, weight_decay=0.5)
  optimizer = make_optimizer(config)
  params = {"up": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = optimizer.update(zeros, optimizer.init(params), params)
  assert np.all(updates["up"]["kernel"] == 0.5)
  assert np.all(updates["up"]["bias"] == 0)


def test_one_step_is_clipped_adamw_of_optax():
  run = run_config()
  config = run.optimizer
  state = make_init(run, init_params)(jax.random.key(0))
  batch, key = Batches().batch(0), jax.random.key(1)
  new, metrics = jax.jit(make_step(run, loss_fn))(state, None, batch, key)
  grads = jax.grad(
    lambda p: loss_fn(p, None, batch, jax.random.fold_in(key, 0))[0]
  )(state.params)
  reference = optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(
      config.peak_lr / config.warmup_steps,
      config.b1,
      config.b2,
      weight_decay=config.weight_decay,
      mask=lambda tree: jax.tree.map_with_path(
        lambda path, _: "kernel" in jax.tree_util.keystr(path), tree
      ),
    ),
  )
  updates, _ = reference.update(
    grads, reference.init(state.params), state.params
  )
  expected = optax.apply_updates(state.params, updates)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    new.params,
    expected,
  )
  np.testing.assert_allclose(
    metrics["grad_norm"], optax.tree.norm(grads), rtol=1e-5
  )


def _with_singular_values(values_K, rows, columns, seed):
  """A matrix [rows, columns] and its nearest one of orthonormal rank K."""
  rng = np.random.default_rng(seed)
  rank = len(values_K)
  left = np.linalg.qr(rng.normal(size=(rows, rank)))[0]
  right = np.linalg.qr(rng.normal(size=(columns, rank)))[0]
  return (left * values_K) @ right.T, left @ right.T


@pytest.mark.parametrize(
  ("name", "shape", "rows", "columns"),
  [
    ("mlp/up/kernel", (2, 24, 48), 24, 48),
    ("attention/query/kernel", (2, 24, 2, 16), 24, 32),
    ("merge/out/kernel", (2, 3, 8, 32), 24, 32),
    ("patterns", (24, 4, 8), 24, 32),
  ],
)
def test_muon_steps_by_the_nearest_orthogonal_matrix(
  name, shape, rows, columns
):
  count = np.prod(shape) // (rows * columns)  # scanned layers
  pairs = [
    _with_singular_values(np.linspace(0.3, 1, rows), rows, columns, seed)
    for seed in range(count)
  ]
  grad, nearest = (np.stack(part) for part in zip(*pairs, strict=True))
  grads = {"a": {name: jnp.asarray(grad.reshape(shape), jnp.float32)}}
  config = OptimizerConfig(peak_lr=1.0, warmup_steps=0, matrices="muon")
  optimizer = make_optimizer(config)
  updates, _ = optimizer.update(grads, optimizer.init(grads), grads)
  found = np.asarray(updates["a"][name]).reshape(grad.shape)
  for ours, theirs in zip(found, nearest, strict=True):
    cosine = np.sum(ours * theirs) / np.linalg.norm(ours)
    assert cosine / np.linalg.norm(theirs) > 0.98
    # As large as Adam's: 0.2 in root mean square. A few iterations bring the
    # singular values near to 1, not to it.
    values_K = np.linalg.svd(ours, compute_uv=False) / (0.2 * columns**0.5)
    assert values_K.min() > 0.6 and values_K.max() < 1.3


def test_what_is_no_matrix_goes_by_adam_under_muon_too():
  rng = np.random.default_rng(0)
  grads = {"pose_in": {"kernel": rng.normal(size=(3, 64)), "bias": np.ones(64)}}
  grads = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), grads)
  config = OptimizerConfig(
    peak_lr=1.0, warmup_steps=0, matrices="muon", clip_norm=1e6
  )
  optimizer = make_optimizer(config)
  updates, _ = optimizer.update(grads, optimizer.init(grads), grads)
  # Adam's first step is the gradient's sign; Nesterov's momentum adds to it.
  size = 1 + config.b1 * (1 - config.b1) / (1 - config.b1**2)
  jax.tree.map(
    lambda u, g: np.testing.assert_allclose(u, size * np.sign(g), rtol=1e-4),
    updates,
    grads,
  )


def test_the_average_has_its_closed_form():
  decay = 0.5  # warm: 1/10, 2/11, ..., then 0.5 from step 8 on
  values = np.random.default_rng(0).normal(size=30)
  average, weights = values[0], [1.0]
  for step, value in enumerate(values[1:]):
    keep = float(ema_decay(step, decay))
    average = keep * average + (1 - keep) * value
    weights = [keep * w for w in weights] + [1 - keep]
    np.testing.assert_allclose(keep, min(decay, (1 + step) / (10 + step)))
  np.testing.assert_allclose(average, np.dot(weights, values))
  np.testing.assert_allclose(sum(weights), 1)
  assert weights[0] < 1e-6, "the initial parameters are forgotten"


def test_the_step_averages_by_that_form():
  run = run_config(ema_decay=0.5)
  state = make_init(run, init_params)(jax.random.key(0))
  step = jax.jit(make_step(run, loss_fn))
  ema = state.params
  for number in range(10):
    state, _ = step(state, None, Batches().batch(number), jax.random.key(1))
    keep = min(0.5, (1 + number) / (10 + number))
    ema = jax.tree.map(
      lambda e, p, k=keep: k * e + (1 - k) * p, ema, state.params
    )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    state.ema,
    ema,
  )


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_step_that_is_not_finite_changes_nothing_but_its_number(bad):
  run = run_config()
  state = make_init(run, init_params)(jax.random.key(0))
  step = jax.jit(make_step(run, loss_fn))
  state, _ = step(state, None, Batches().batch(0), jax.random.key(1))
  batch = Batches().batch(1)
  batch["x_BF"][0, 0] = bad
  new, metrics = step(state, None, batch, jax.random.key(1))
  assert metrics["skipped"] == 1 and new.step == state.step + 1
  for name in ("params", "ema", "opt"):
    for a, b in zip(
      jax.tree.leaves(getattr(new, name)),
      jax.tree.leaves(getattr(state, name)),
      strict=True,
    ):
      np.testing.assert_array_equal(a, b)


def test_nonsense_is_refused():
  with pytest.raises(UserError, match="peak_lr"):
    from_config(OptimizerConfig, {"peak_lr": 0.0, "warmup_steps": 1})
