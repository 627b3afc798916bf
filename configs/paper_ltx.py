"""paper.py on the latents of LTX-Video 0.9.0: 32 x 32 pixels, eight frames.

As many tokens, of half as many numbers, for twice as many frames; the window of
ten latents is 3.2 s, a training window of 20 is 6.4 s. configs/encoders.py says
how to import the encoders.

  python -m launch.compile_check --config configs/paper_ltx.py \
    --topology v5p:4x4x4 --tokenizer ltx0.9.0 --speech hubert-large-ls960-ft
  python -m launch.train --config configs/paper_ltx.py --workdir runs/ltx \
    --config.data.tokens=DIR

Expect a decoder three times as cheap for each frame as Wan's, a state of 0.3 GB
for each stream instead of 2.8, and a latency of 15 frames, 0.6 s, on top of the
speech's: a latent is made whole, and its decoder waits for the next. The first
command estimates 46 ms of a v5p and 40 ms of a v6e for eight frames, which no
chip will reach: see paper.py. A train step on 64 chips of v5p: 17.9 of 95 GiB
on each, 0.61 s, 32 % MFU at best.
"""

from configs import encoders, paper


def get_config():
  """Returns paper.py with those latents."""
  c = paper.get_config()
  encoders.ltx(c)
  c.data.frames = 20
  return c
