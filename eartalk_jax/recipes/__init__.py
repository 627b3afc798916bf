"""What is noisy and who sees whom: ways to make video, by one protocol.

A recipe is a module or package here and a line in KINDS; `recipe.kind` of a
config says which. Training, streams, evaluation and proofs know no other way.

Dimension key: B batch or streams, T latents of a clip, t latents that a step is
told of, S sink frames, h w C latent frame.
"""

from typing import Any, Protocol

import jax

from eartalk_jax.attention.visibility import Visibility
from eartalk_jax.bounds import shown
from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError
from eartalk_jax.layers.placement import ALONE
from eartalk_jax.recipes import ear


class Recipe(Protocol):
  """A module of this package.

  In all of it `model` is what its own `model` gave, `frozen` a tree of arrays
  that training reads and does not change (a teacher's parameters, say; None for
  none), and a `batch` what `TalkerBatches` yields.

  Attributes:
    AHEAD: latents of signals that a step needs beyond the one that it makes.
  """

  AHEAD: int

  def visibility(self, cfg) -> Visibility:
    """Who sees whom in a model of a TalkerConfig."""

  def model(self, cfg, placement=ALONE) -> Any:
    """The network, with attributes `cfg` and `placement`."""

  def init_params(self, model) -> Any:
    """key -> parameters; shapes come from the config alone."""

  def losses(self, model, params, frozen, batch, key, fixed=None) -> jax.Array:
    """The loss of each latent, error_BT.

    Args:
      model, params, frozen, batch, key: of a training step.
      fixed: {"level_BT", "uniform"}: noise levels of the history and quantiles
        of the head's times, where they are not drawn; see `heads.Head.loss`.
    """

  def portrait_losses(self, model, batch, key, fixed) -> jax.Array:
    """The same of who only ever says the portrait; see `losses`."""

  def signs(self, model, params, frozen, batch, key) -> dict[str, jax.Array]:
    """Scalars for the training log: is the right thing learned?"""

  def prepare(self, params) -> Any:
    """Parameters as streams read them fastest."""

  def open(self, model, weights, sink_BShwC, key_B, portrait) -> Any:
    """The state of new streams: numbers alone, of fixed size.

    Args:
      model, weights: `weights` is from `prepare`.
      sink_BShwC: normalised latents of the portraits, `cfg.sinks` of each
        person, the one to start from first.
      key_B: one random key for each stream.
      portrait: Signals [B], what is known of the portraits.
    """

  def step(self, model, weights, state, signals, guidance) -> tuple[Any, Any]:
    """Makes the next latent of every stream: (state, latent_BhwC).

    Args:
      model, weights, state: see `open`.
      signals: Signals [B t], t = 1 + AHEAD, of that latent and those after it.
      guidance: Guidance.
    """


KINDS: dict[str, Recipe] = {"ear": ear}


def of(kind):
  """The Recipe of that kind.

  Raises:
    UserError: there is none.
  """
  if not isinstance(kind, str) or kind not in KINDS:
    raise UserError(
      f"recipe.kind {shown(kind)}: {nearest(str(kind)[:80], KINDS)}"
    )
  return KINDS[kind]
