"""From the backbone's features to a frame: what every head can do.

A head is a module here: its config, network, loss, sampler, cost and resizing
side by side. Another one is a file like them and a line in KINDS.

What a head makes is the deviation of frames from the portrait over
`cfg.spread`: a head that knows nothing yet shows the portrait, and all that it
learns is motion.

Dimension key: B clips or streams, T frames, N tokens, c numbers in a token.
"""

from typing import Any, Protocol

from eartalk_jax.heads import flow, masked
from eartalk_jax.heads.flow import FlowHeadConfig
from eartalk_jax.heads.masked_network import MaskedHeadConfig

# The class of a head's config -> the head. `kind` in a config file says which.
KINDS = {FlowHeadConfig: flow, MaskedHeadConfig: masked}
HeadConfig = FlowHeadConfig | MaskedHeadConfig
# The bounds of all heads' settings, for who does not know the head yet.
SETTINGS = {k: v for head in KINDS.values() for k, v in head.SETTINGS.items()}


class Head(Protocol):
  """A module of this package.

  In all of it, `cfg` is the head's config and `net` its network with
  parameters: what `network` gave, bound. `features` are what `Talker.finish`
  returned for the frames.

  Attributes:
    SETTINGS: {name of a field: its bounds} of what a user may change of a
      trained head's sampling; whole numbers are a cost.
  """

  SETTINGS: dict[str, tuple[float, float | None]]

  def network(self, cfg, tokens, token_width, dtype, placement, remat) -> Any:
    """The Linen module; calling it touches every parameter once."""

  def loss(self, cfg, net, target_BTNc, features, key, uniform=None) -> Any:
    """The training loss of each frame, error_BT.

    Args:
      cfg, net, features: see above.
      target_BTNc: the deviations.
      key: randomness.
      uniform: numbers in (0, 1) that say which quantiles of the training's
        times are taken, where they are not to be drawn; [R B T *times], R being
        `cfg.draws`.
    """

  def sample(self, cfg, net, features, key_B, guidance) -> Any:
    """A frame for each stream, frame_BNc.

    Args:
      cfg, net: see above.
      features: of all branches of `guidance`.
      key_B: randomness, of each stream its own, so that a stream's frames do
        not depend on its neighbours.
      guidance: Guidance.
    """

  def times(self, cfg, tokens) -> tuple[int, ...]:
    """How many times a frame has in training: () for one, (N,) for tokens'."""

  def check(self, cfg, tokens) -> None:
    """Raises ValueError unless such a head suits frames of N tokens."""

  def products(self, cfg, width, tokens, token_width, training) -> list:
    """Its matrix products for a latent frame, as `layers.cost.Product`.

    Args:
      cfg: see above.
      width: of the backbone.
      tokens, token_width: N and c.
      training: else sampling is meant.
    """

  def resized(self, cfg, width, heads, depth, unit) -> Any:
    """Its config at another size; inner widths are multiples of `unit`."""

  def hidden_layer(self, cfg) -> str:
    """Path of its last hidden layer among the modules of `network`."""


def of(cfg) -> Head:
  """The head that a config is of."""
  return KINDS[type(cfg)]
