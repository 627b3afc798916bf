"""EARTalking at 300 M parameters: 512 px, W = 10, 25 frames a second.

  python -m launch.compile_check --config configs/ear_300m.py \\
    --topology v5p:2x2x4 --tokenizer wan2.1
  python -m launch.train --config configs/ear_300m.py --workdir runs/ear_300m \\
    --config.data.tokens=DIR

For a slice of 16 chips. On Wan's latents and HuBERT's features
(configs/encoders.py). Memory and step time: ask the first command, nobody has
yet. What a stream costs is docs/scale.md's. The rate has been scaled by eye
from base.py, never tried.
"""

from configs import base, encoders


def get_config():
  """Returns base.py at that size."""
  c = base.get_config()
  model, run = c.model, c.run
  encoders.hubert(c)
  model.width, model.depth, model.heads = 1024, 16, 16
  model.head.width, model.head.depth, model.head.heads = 1024, 4, 16
  run.batch_size, run.accumulate = 128, 4
  run.optimizer.peak_lr = 4e-4
  return c
