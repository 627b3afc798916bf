"""What a recipe's training is made of, whoever runs it or proves that it fits.

Dimension key: B batch, T frames, S sink frames, h, w, C latent grid and
channels, F audio features, K numbers of a control.
"""

import functools

import jax
import jax.numpy as jnp

from eartalk_jax.models.signals import Signals
from eartalk_jax.optimization.width_transfer import base_of, update_multipliers
from eartalk_jax.training.parallelism import placement_on
from eartalk_jax.training.sharding import TALKER_RULES


def functions(recipe, cfg, mesh, optimizer):
  """The functions and rules that `loop.fit` asks for.

  Args:
    recipe: Recipe.
    cfg: TalkerConfig.
    mesh: of the run.
    optimizer: OptimizerConfig, for the widths that its rate was tuned for.

  Raises:
    UserError: the model cannot have had those widths.
  """
  model = recipe.model(cfg, placement_on(mesh, cfg.dtype))

  def loss_fn(params, frozen, batch, key):
    return recipe.losses(model, params, frozen, batch, key).mean(), {}

  return {
    "init_params": recipe.init_params(model),
    "loss_fn": loss_fn,
    "diagnose": functools.partial(recipe.signs, model),
    "multipliers": _multipliers(recipe, cfg, optimizer),
    "rules": TALKER_RULES,
  }


def _multipliers(recipe, cfg, optimizer):
  """Of the updates of all parameters; None in standard parametrisation."""
  if not optimizer.base_width:
    return None
  base = base_of(cfg, optimizer)
  inits = [recipe.init_params(recipe.model(each)) for each in (cfg, base)]
  # No key is made: the devices may not be here.
  shapes, base_shapes = (
    jax.eval_shape(lambda init=init: init(jax.random.key(0))) for init in inits
  )
  return update_multipliers(shapes, base_shapes, optimizer.matrices)


def batch_shapes(cfg, rows, frames):
  """The shapes of a loader's batch; see `data_pipelines.batches`."""

  def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)

  def shaped(signals):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), signals
    )

  clip = rows, frames
  return {
    "latents_BThwC": array(*clip, *cfg.latent_shape),
    "sink_BShwC": array(rows, cfg.sinks, *cfg.latent_shape),
    "signals": shaped(Signals.blank(cfg, clip)),
    "portrait": shaped(Signals.blank(cfg, (rows,), hears=False)),
  }
