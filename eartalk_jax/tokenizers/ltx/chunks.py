"""What the streamed decoder imitates: a clip decoded in overlapping windows.

Dimension key: B clips, T frames, t latents, h w latent grid, C channels.
"""

import numpy as np


def chunked(decode, latents_BthwC, config):
  """The frames of latents 1, 2, ... as decode_step shows them.

  Those of latent i are taken from the whole decoding of latents i - context to
  i + delay: from the clip's first, where it would begin before; with the last
  one repeated, where it would end after. Frames keep their places in a window
  wherever it is cut: of its latent j they are (j - 1) s + 1 to j s, while its
  first frame is all that it has of its latent 0, which is why a context of at
  least one latent is needed.

  Args:
    decode: latents_BthwC -> frames_BTYX3, a decoder of whole clips.
    latents_BthwC: of whole clips, as `decode` wants them.
    config: Config.

  Returns:
    frames_BTYX3, T = (t - 1) s.
  """
  last, stride = latents_BthwC.shape[1] - 1, config.stride
  parts = []
  for latent in range(1, last + 1):
    first = max(0, latent - config.context)
    window = np.arange(first, latent + config.delay + 1).clip(max=last)
    stop = (latent - first) * stride + 1
    frames_BTYX3 = np.asarray(decode(latents_BthwC[:, window]))
    parts.append(frames_BTYX3[:, stop - stride : stop])
  return np.concatenate(parts, axis=1)
