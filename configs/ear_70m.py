"""EARTalking at 70 M parameters: 512 px, W = 10, 25 frames a second.

  python -m launch.compile_check --config configs/ear_70m.py \\
    --topology v5p:2x2x1 --tokenizer wan2.1
  python -m launch.train --config configs/ear_70m.py --workdir runs/ear_70m \\
    --config.data.tokens=DIR

For a machine with a few chips. On Wan's latents and HuBERT's features
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
  model.width, model.depth, model.heads = 512, 12, 8
  model.head.width, model.head.depth, model.head.heads = 512, 4, 8
  run.batch_size, run.accumulate = 64, 4
  run.optimizer.peak_lr = 6e-4
  return c
