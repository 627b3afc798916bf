"""Log-mel steps around a frame -> its audio tokens.

Convolutions over time first, as in speech recognition: a sound is the same
whenever it comes, so what is learned of it at one place serves at all of them.

Dimension key: leading ... batch (and frames), A mel steps, F mel bins, D width,
M audio tokens.
"""

import flax.linen as nn

from eartalk_jax.models.config import TalkerConfig

CONVOLUTIONS = 2
TAPS = 3
# A little variance, so that what nobody would hear is not made loud.
_EPSILON = 1e-2


class Hearing(nn.Module):
  """A few strided convolutions, then two dense layers over all that is left."""

  cfg: TalkerConfig

  @nn.compact
  def __call__(self, audio):
    """[..., A*F], the features of a frame -> [..., M, D]."""
    cfg, lead = self.cfg, audio.shape[:-1]
    # How loud somebody speaks, or how near, does not move the lips.
    level = nn.LayerNorm(use_bias=False, use_scale=False, epsilon=_EPSILON)
    heard = level(audio).reshape(*lead, -1, cfg.audio.bins)
    for index in range(CONVOLUTIONS):
      convolution = nn.Conv(
        cfg.width, (TAPS,), strides=2, dtype=cfg.dtype, name=f"conv_{index}"
      )
      heard = nn.gelu(convolution(heard))
    mix = nn.Dense(cfg.width, dtype=cfg.dtype, name="mix")
    heard = nn.gelu(mix(heard.reshape(*lead, -1)))
    tokens = cfg.audio.tokens
    out = nn.Dense(tokens * cfg.width, dtype=cfg.dtype, name="tokens")
    return out(heard).reshape(*lead, tokens, cfg.width)
