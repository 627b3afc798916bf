"""What trains a network of the kind `wan`.

Dimension key: B clips, T frames, t latents, Y X picture, h w latent grid, C
channels.
"""

import dataclasses

import numpy as np

from eartalk_jax.tokenizers.pretrained import CERTAIN, to_signed
from eartalk_jax.tokenizers.wan import Config, WanTokenizer, init
from eartalk_jax.tokenizers.wan.network import Network


@dataclasses.dataclass(frozen=True)
class Trainable:
  """See `tokenizers.trainable`; a clip goes through whole."""

  config: Config

  kind, Config = "wan", Config
  crops = True

  @property
  def stride(self):
    """See `Trainable`."""
    return self.config.stride

  def init(self, key):
    """See `Trainable`."""
    # Weights are of no size; the smallest pictures are the quickest.
    smallest = dataclasses.replace(self.config, size=self.config.factor)
    params = init(smallest)(key)
    last = params["quant_conv"]
    bias_2C = last["bias"].at[self.config.z_dim :].set(CERTAIN)
    return {**params, "quant_conv": {**last, "bias": bias_2C}}

  def encode(self, params, frames_BTYX3):
    """See `Trainable`."""
    return self._apply(params, to_signed(frames_BTYX3), "encode")

  def decode(self, params, latents_BthwC):
    """See `Trainable`."""
    return (self._apply(params, latents_BthwC, "decode") + 1) / 2

  def finished(self, params, mean_C, variance_C):
    """See `Trainable`."""
    std_C = np.sqrt(variance_C).astype(np.float32)
    return WanTokenizer(self.config, params, mean_C.astype(np.float32), std_C)

  def _apply(self, params, x, method):
    network = Network(self.config)
    return network.apply({"params": params}, x, method=method)
