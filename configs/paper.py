"""EARTalking's factorisation: base.py with a `masked` head, 0.59 B parameters.

Set-by-set masked autoregression over the frame, then a small MLP that denoises
one token at a time (arXiv 2603.20307): 36 sets of 25 denoising steps of noise
prediction, the paper's Eq. 1. What the paper leaves open follows NOVA's 0.6 B
model (arXiv 2412.14169): 16 layers of 1024, a denoiser of 3 layers of 1280, 4
noise draws per token. Two things are ours: known and unknown tokens go through
one stack, and tokens are the backbone's (4 x 4 latents; NOVA's are 2 x 2).

Latents are Wan 2.1's, speech is HuBERT-large's; configs/encoders.py says how to
import both.

  python -m launch.compile_check --config configs/paper.py \
    --topology v5p:4x4x4 --tokenizer wan2.1 --speech hubert-large-ls960-ft
  python -m launch.train --config configs/paper.py --workdir runs/paper \
    --config.data.tokens=DIR

It is the reference for quality: a latent, four frames, takes 36 passes through
the stack and 900 through the denoiser, where the `flow` head of base.py takes
8. The first command estimates 15 ms of a v5p for these and 50 ms for Wan's
decoder, 62 frames a second together (v6e: 14 and 58 ms, 56 frames), which no
chip will reach: a roofline knows nothing of the latency of 900 small steps.
A stream's state is 2.8 GB, nine tenths of it the decoder's. A train step on 64
chips of v5p: 23.6 of 95 GiB on each, 1.06 s, 30 % MFU at best. docs/scale.md
has all figures. `--sets` and `--steps` of launch.sample make a trained one
faster; configs/paper_fast.py is made to be fast.
"""

from configs import base, encoders


def get_config():
  """Returns base.py with the paper's head."""
  c = base.get_config()
  encoders.hubert(c)
  c.model.head = {
    "kind": "masked",
    "width": 1024,
    "depth": 16,
    "heads": 16,
    "denoiser_width": 1280,
    "denoiser_depth": 3,
    "rank": 192,
    "process": "noise",
    "draws": 4,
    "sets": 36,
    "steps": 25,
    "spread": 0.65,
    "shift": 1.0,
    "temperature": 1.0,
  }
  return c
