"""What tokenizers share whose networks take each frame alone.

Dimension key: B pictures, s = 1 frame of a latent, Y X picture, h w latent
grid, C channels.
"""

import jax
import jax.numpy as jnp

from eartalk_jax.tokenizers import pretrained
from eartalk_jax.tokenizers.pretrained import Pretrained


class PictureTokenizer(Pretrained):
  """A Tokenizer that remembers nothing.

  A kind adds `encoded(params, picture_BYX3)`, from pictures in [0, 1] to
  latents of its network, and `decoded(params, raw_BhwC)`, the way back.
  """

  stride, delay = 1, 0

  def encode_portrait(self, params, picture_BYX3):
    """See `Tokenizer`."""
    return self.normal(self.encoded(params, picture_BYX3))

  def init_encode(self, params, portrait_BYX3):
    """See `Tokenizer`."""
    return (), self.encode_portrait(params, portrait_BYX3)

  def encode_step(self, params, state, frames_BsYX3):
    """See `Tokenizer`."""
    return state, self.encode_portrait(params, frames_BsYX3[:, 0])

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    """See `Tokenizer`."""
    del params, portrait_BYX3, portrait_BhwC
    return ()

  def decode_step(self, params, state, latent_BhwC):
    """See `Tokenizer`."""
    return state, self.decoded(params, self.raw(latent_BhwC))[:, None]


def abstract(tokenizer, network, config):
  """A Tokenizer of pictures with shapes for weights.

  Args:
    tokenizer: class, a PictureTokenizer.
    network: Linen module of that configuration.
    config: of the kind.
  """

  def init():
    picture_1YX3 = jnp.zeros((1, config.size, config.size, 3))
    return network.init(jax.random.key(0), picture_1YX3)["params"]

  return pretrained.abstract(tokenizer, config, init)
