"""EARTalking at 1 B parameters: 512 px, W = 10, 25 frames a second.

  python -m launch.compile_check --config configs/ear_1b.py \
    --topology v5p:4x4x4 --tokenizer wan2.1 --speech hubert-large-ls960-ft
  python -m launch.train --config configs/ear_1b.py --workdir runs/ear_1b \
    --config.data.tokens=DIR

1,044 M parameters for 64 chips of TPU v5p, on Wan's latents and HuBERT's
features (configs/encoders.py): a batch is 384 clips of 40 latents, 6.3 s, in 6
microbatches, one clip on each chip at a time, nothing computed twice. The first
command estimates 85.5 of 95 GiB on each chip and 2.4 s a step: 58 % MFU, bound
by compute, if every operation reached the chip's peak; nobody has run it there.
That is by the libtpu of jax 0.10.2; if another one plans more memory,
model.remat=True needs far less. What a stream costs is docs/scale.md's: nine
tenths of it are Wan's decoder. Window and size are the paper's; widths are
ours, multiples of the 128 lanes of a TPU. The rate has been scaled by eye from
base.py.
"""

from configs import base, encoders


def get_config():
  """Returns base.py at that size."""
  c = base.get_config()
  model, run = c.model, c.run
  encoders.hubert(c)
  model.width, model.depth, model.heads = 2048, 14, 16
  model.head.width, model.head.depth, model.head.heads = 2048, 4, 16
  model.remat = False
  c.data.frames = 40
  run.batch_size, run.accumulate = 384, 6
  run.optimizer.peak_lr = 2e-4
  run.mesh.fsdp = 4
  return c
