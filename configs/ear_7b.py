"""EARTalking at 7 B parameters: 512 px, W = 10, 25 frames a second.

  python -m launch.compile_check --config configs/ear_7b.py --topology v5p:8x8x8

6,879 M parameters for 512 chips of TPU v5p, on Wan's latents and HuBERT's
features (configs/encoders.py): 1,024 clips of 32 latents, two on each chip.
Before those encoders, with as many latents on a chip at a time and two
microbatches, the command estimated 27.7 of 95 GiB on each chip and 6.8 s a
step: 52 % MFU; ask it again. Nobody has run it there. The rate has been scaled
by eye from base.py.
"""

from configs import base, encoders


def get_config():
  """Returns base.py at that size."""
  c = base.get_config()
  model, run = c.model, c.run
  encoders.hubert(c)
  model.width, model.depth, model.heads = 4096, 28, 32
  model.head.width, model.head.depth, model.head.heads = 4096, 4, 32
  model.head.draws = 2
  run.batch_size = 1024
  run.optimizer.peak_lr = 1e-4
  run.mesh.fsdp = 64
  return c
