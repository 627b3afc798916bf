"""paper.py on the latents of LTX-Video: eight frames each, 32 x 32 pixels.

TODO
"""

from configs import paper


def get_config():
  """Returns paper.py with those latents."""
  c = paper.get_config()
  c.tokenizer = "encoders/ltx0.9.0"
  c.model.latent_shape = (16, 16, 128)
  c.model.patch, c.model.stride = 1, 8
  c.data.frames = 20
  return c
