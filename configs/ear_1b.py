"""EARTalking at 1 B parameters: 512 px, W = 10, 25 frames a second.

  python -m launch.compile_check --config configs/ear_1b.py --topology v5p:4x4x4
  python -m launch.train --config configs/ear_1b.py --workdir runs/ear_1b \\
    --config.data.tokens=DIR --config.tokenizer=DIR

1,046 M parameters for 64 chips of TPU v5p: a batch is 256 clips of 64 frames in
4 microbatches, one clip on each chip at a time. The window is the paper's, as
are size and frame rate; widths are ours, multiples of the 128 lanes of a TPU.
State is not split (fsdp 1): it takes 11.8 GiB of a chip.

What launch.compile_check said of 64 chips of v5p: 50.9 of 95 GiB, 3.67 s a
step, MFU 41 %, bound by compute; optimistic 2.88 s and 53 %. It counts all
blocks of the attention kernels' grids, 1.22 s, of which the kernels skip some.
Rates have been scaled by eye from base.py, never tried.
"""

from configs import base


def get_config():
  """Returns base.py at that size."""
  c = base.get_config()
  c.tokenizer = "runs/ear_1b/tokenizer"
  model, run = c.model, c.run
  model.width, model.depth, model.heads = 2048, 14, 16
  model.head.width, model.head.depth, model.head.heads = 2048, 4, 16
  model.remat = False
  c.data.frames = 48
  run.batch_size, run.accumulate = 320, 5
  run.optimizer.peak_lr = 2e-4
  run.mesh.fsdp = 4
  return c
