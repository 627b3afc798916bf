"""The network of `ltx`: AutoencoderKLLTXVideo of diffusers, modules as there.

After HaCohen et al., "LTX-Video: Realtime Video Latent Diffusion" (arXiv
2501.00103).

Dimension key: B clips, T frames, t latents, Y X picture, h w latent grid, C
channels.
"""

import flax.linen as nn

from eartalk_jax.tokenizers.ltx.decoder import Decoder
from eartalk_jax.tokenizers.ltx.encoder import Encoder


class Network(nn.Module):
  """Clips in [-1, 1] to moments of latents, and back."""

  config: "Config"  # noqa: F821, of `config`

  def setup(self):
    self.encoder, self.decoder = Encoder(self.config), Decoder(self.config)

  def __call__(self, frames_BTYX3):
    """Encodes and decodes: what initialisation traces."""
    return self.decode(self.encode(frames_BTYX3)[0])

  def encode(self, frames_BTYX3, past=None):
    """Frames from a clip's first on, 1 + ks, or ks after what is past.

    Returns:
      mean_BthwC, log_variance_Bthw1 (one for all channels), past.
    """
    moments, past = self.encoder(frames_BTYX3, past)
    return moments[..., :-1], moments[..., -1:], past

  def decode(self, latents_BthwC, start_B=None):
    """Frames [B 1+(t-1)s Y X 3] of a clip or of a window.

    `start_B`: which latent of the window is the clip's first; frames before
    that one's, number s * start_B, are void. None: 0.
    """
    return self.decoder(latents_BthwC, start_B)
