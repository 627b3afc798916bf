"""paper.py on the latents of LTX-Video: eight frames each, 32 x 32 pixels.

TODO
"""

from configs import encoders, paper


def get_config():
  """Returns paper.py with those latents."""
  c = paper.get_config()
  encoders.ltx(c)
  c.data.frames = 20
  return c
