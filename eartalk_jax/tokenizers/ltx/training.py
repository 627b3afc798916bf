"""What trains a network of the kind `ltx`.

Dimension key: B clips, T frames, t latents, Y X picture, h w latent grid, C
channels.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from eartalk_jax.tokenizers.ltx import Config, LtxTokenizer
from eartalk_jax.tokenizers.ltx.network import Network
from eartalk_jax.tokenizers.pretrained import CERTAIN, to_signed

_LOG_VARIANCE = -30.0, 20.0


@dataclasses.dataclass(frozen=True)
class Trainable:
  """See `tokenizers.trainable`; a clip goes through whole, both ways."""

  config: Config

  kind, Config = "ltx", Config
  crops = True

  @property
  def stride(self):
    """See `Trainable`."""
    return self.config.stride

  def init(self, key):
    """See `Trainable`."""
    # Weights are of no size; the smallest pictures are the quickest.
    side = self.config.factor
    frame_11YX3 = jnp.zeros((1, 1, side, side, 3))
    params = Network(self.config).init(key, frame_11YX3)["params"]
    paths = traverse_util.flatten_dict(params, sep="/")
    last = "encoder/conv_out/conv/bias"
    paths[last] = paths[last].at[-1].set(CERTAIN)
    return traverse_util.unflatten_dict(paths, sep="/")

  def encode(self, params, frames_BTYX3):
    """See `Trainable`; all channels have one variance."""
    mean_BthwC, log_variance_Bthw1, _ = self._apply(
      params, to_signed(frames_BTYX3), "encode"
    )
    return mean_BthwC, jnp.clip(log_variance_Bthw1, *_LOG_VARIANCE)

  def decode(self, params, latents_BthwC):
    """See `Trainable`."""
    return (self._apply(params, latents_BthwC, "decode") + 1) / 2

  def finished(self, params, mean_C, variance_C):
    """See `Trainable`."""
    std_C = np.sqrt(variance_C).astype(np.float32)
    return LtxTokenizer(self.config, params, mean_C.astype(np.float32), std_C)

  def _apply(self, params, x, method):
    network = Network(self.config)
    return network.apply({"params": params}, x, method=method)
