"""What tokenizers share whose networks take each frame alone.

Dimension key: B pictures, s = 1 frame of a latent, Y X picture, h w latent
grid, C channels.
"""

from eartalk_jax.tokenizers.pretrained import Pretrained


class PictureTokenizer(Pretrained):
  """A Tokenizer by `encoded` and `decoded`; it remembers nothing."""

  stride, delay = 1, 0

  def encoded(self, params, picture_BYX3):
    """Pictures in [0, 1] -> latents of the network, [B h w C]."""
    raise NotImplementedError

  def decoded(self, params, raw_BhwC):
    """Latents of the network -> pictures in [0, 1]."""
    raise NotImplementedError

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
