"""demo.py with the paper's `masked` head: 4 sets of 8 steps.

  python -m launch.train --config configs/demo_masked.py --workdir runs/masked \
    --config.data.tokens=runs/demo/tokens/train \
    --config.tokenizer=runs/demo/tokenizer/tokenizer
"""

from configs import demo, paper_fast


def get_config():
  """Returns demo.py with the head of paper_fast.py, made smaller."""
  c = demo.get_config()
  c.model.head = head = paper_fast.get_config().model.head
  head.width, head.depth, head.heads = 128, 1, 2
  head.denoiser_width, head.denoiser_depth = 128, 2
  head.rank, head.draws, head.sets = 24, 2, 4
  return c
