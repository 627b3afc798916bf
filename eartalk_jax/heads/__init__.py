"""From the backbone's features to a frame: what every head can do.

  loss(cfg, use, target_BTNc, features, key, uniform=None) -> error_BT
  sample(cfg, use, features, key_B, guidance) -> frame_BNc

  cfg: the head's config; its `kind` chooses among the modules here.
  use: (method, *arguments) -> what that method of the head's network gives.
  target_BTNc, frame_BNc: deviations from the portrait over `cfg.spread`.
  features: what `Talker.finish` returned for those frames; while sampling, of
    all branches of `guidance`.
  key, key_B: randomness; of each stream its own while sampling, so that a
    stream's frames do not depend on its neighbours.
  uniform: numbers in (0, 1) that say which quantiles of the training's times
    are taken, where they are not to be drawn; [R B T], for each token of the
    masked head [R B T N], R being `cfg.draws`.

Dimension key: B clips or streams, T frames, N tokens, c numbers in a token.
"""

from eartalk_jax.heads import flow_head, masked_head

_KINDS = {"flow": flow_head, "masked": masked_head}


def loss(cfg, *args):
  """The training loss of each frame; see the package."""
  return _KINDS[cfg.kind].loss(cfg, *args)


def sample(cfg, *args):
  """A frame for each stream; see the package."""
  return _KINDS[cfg.kind].sample(cfg, *args)
