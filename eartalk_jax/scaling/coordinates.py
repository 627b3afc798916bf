"""The coordinate check: do activations stay as large when a model grows?

Takes a few real train steps with models of several widths, on one batch of
random numbers, and looks at the root mean square of activations, and of their
change since the start, against width. In maximal-update parametrisation (see
`optimization.width_transfer`) both keep their size; in the standard one,
changes grow with the width, and with them the best learning rate falls.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import heads
from eartalk_jax.models.watching import watched
from eartalk_jax.optimization.width_transfer import in_proportion
from eartalk_jax.training import talker_training
from eartalk_jax.training.run_config import RunConfig
from eartalk_jax.training.sharding import make_mesh
from eartalk_jax.training.train_step import make_init, make_step

KINDS = ("standard", "mup")
TITLES = {"standard": "standard", "mup": "maximal-update"}
# Slopes up to this are flat.
FLAT = 0.1
_ROWS, _FRAMES = 8, 2


def judged(cfg):
  """The activations that are to keep their size: {name: (path, what)}."""
  head = f"head/{heads.of(cfg.head).hidden_layer(cfg.head)}"
  return {
    "residual stream": ("backbone", "scale"),
    "residual stream, change": ("backbone", "change"),
    "head, hidden": (head, "scale"),
    "head, hidden, change": (head, "change"),
    "output, change": ("head", "change"),
  }


def measure(recipe, cfg, optimizer, widths, steps, seeds=(0,), advance=None):
  """Root mean squares of activations over some steps, at every width.

  Args:
    recipe: Recipe.
    cfg: TalkerConfig; both its widths grow in proportion.
    optimizer: OptimizerConfig; the first width becomes the base.
    widths: of the backbone, ascending.
    steps: how many are taken.
    seeds: of initial values; what is told is the geometric mean.
    advance: called after each width, if given.

  Returns:
    {kind: {path of a module: {"scale" or "change": array [widths, steps + 1]}}}
    for both KINDS; the change is that since the start.
  """
  found = {kind: {} for kind in KINDS}
  sized = [in_proportion(cfg, width) for width in widths]
  base = dataclasses.replace(
    optimizer, base_width=widths[0], base_head_width=sized[0].head.width
  )
  for model in sized:
    for kind, paths in _one_width(recipe, model, base, steps, seeds).items():
      for path, sizes in paths.items():
        found[kind].setdefault(path, []).append(sizes)
    if advance:
      advance()
  return {
    kind: {
      path: dict(zip(("scale", "change"), np.stack(sizes, 1), strict=True))
      for path, sizes in paths.items()
    }
    for kind, paths in found.items()
  }


def _one_width(recipe, cfg, optimizer, steps, seeds):
  """{kind: {path: [scale and change, steps + 1]}}."""
  cfg = dataclasses.replace(cfg, remat=False)
  run = RunConfig(steps + 1, _ROWS, optimizer, ema_decay=0.0)
  mesh = make_mesh(devices=jax.devices()[:1])
  functions = talker_training.functions(recipe, cfg, mesh, optimizer)
  # Another generator than usual: it compiles in a fraction of the time.
  key = jax.random.key(0, impl="rbg")
  loss_fn = watched(functions["loss_fn"], key)
  multipliers = functions["multipliers"]
  init = jax.jit(make_init(run, functions["init_params"], multipliers))

  @jax.jit
  def step(state, batch, multipliers):
    return make_step(run, loss_fn, multipliers)(state, None, batch, key)

  batch = random_batch(cfg, _ROWS, _FRAMES)
  # One program for both: the standard parametrisation multiplies by one.
  ones = jax.tree.map(lambda _: 1.0, multipliers)
  found = {}
  for kind, factors in zip(KINDS, (ones, multipliers), strict=True):
    logs = []
    for seed in seeds:
      state, log = init(jax.random.key(seed, impl="rbg")), []
      for _ in range(steps + 1):
        state, metrics = step(state, batch, factors)
        log.append(jax.device_get(metrics["activations"]))
      logs.append(_sizes(log))
    found[kind] = {
      path: np.exp(np.mean([log[path] for log in logs], axis=0))
      for path in logs[0]
    }
  return found


def _sizes(log):
  """{path: logs of [scale and change, steps]} of the activations of steps."""
  first = log[0]
  sizes = {
    path: (
      [_rms(now[path]) for now in log],
      [_rms(jax.tree.map(np.subtract, now[path], first[path])) for now in log],
    )
    for path in first
  }
  with np.errstate(divide="ignore"):  # nothing has changed at the start
    return {path: np.log(both) for path, both in sizes.items()}


def _rms(tree):
  squares = [
    np.square(leaf, dtype=np.float64) for leaf in jax.tree.leaves(tree)
  ]
  return np.sqrt(np.mean(np.concatenate([x.ravel() for x in squares])))


def random_batch(cfg, rows, frames, seed=0):
  """Random numbers in the shapes of a loader's batch."""
  rng = np.random.default_rng(seed)

  def fill(leaf):
    if leaf.dtype == jnp.bool_:
      return jnp.asarray(rng.random(leaf.shape) < 0.8)
    return jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)

  return jax.tree.map(fill, talker_training.batch_shapes(cfg, rows, frames))


def slope(widths, sizes):
  """By which power of the width something grows: a line through the logs."""
  return float(np.polyfit(np.log(widths), np.log(sizes), 1)[0])


def slopes(widths, found):
  """{kind: {path: {"scale" or "change": slope after the last step}}}."""
  return {
    kind: {
      path: {
        what: slope(widths, sizes[:, -1])
        for what, sizes in both.items()
        if np.all(sizes[:, -1] > 0)
      }
      for path, both in paths.items()
    }
    for kind, paths in found.items()
  }
