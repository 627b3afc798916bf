"""EARTalking (arXiv 2603.20307): clean past, one frame at a time by a head."""

from eartalk_jax.attention.visibility import Causal
from eartalk_jax.layers.placement import ALONE
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.recipes.ear.objective import losses, portrait_losses, signs
from eartalk_jax.recipes.ear.stream import open, prepare, step

__all__ = [
  "AHEAD",
  "init_params",
  "losses",
  "model",
  "open",
  "portrait_losses",
  "prepare",
  "signs",
  "step",
  "visibility",
]

AHEAD = 0


def visibility(cfg):
  """See `Recipe`."""
  return Causal(cfg.window)


def model(cfg, placement=ALONE):
  """See `Recipe`."""
  return Talker(cfg, placement)
