"""demo.py with the paper's `masked` head: 4 sets of 8 steps.

  python -m launch.train --config configs/demo_masked.py --workdir runs/masked \
    --config.data.tokens=runs/demo/tokens/train \
    --config.tokenizer=runs/demo/tokenizer/tokenizer
"""

from configs import demo


def get_config():
  """Returns demo.py with another head."""
  c = demo.get_config()
  c.model.head = {
    "kind": "masked",
    "width": 128,
    "depth": 1,
    "heads": 2,
    "denoiser_width": 128,
    "denoiser_depth": 2,
    "rank": 24,
    "process": "flow",
    "draws": 2,
    "sets": 4,
    "steps": 8,
    "spread": 0.65,
    "shift": 20.0,
    "temperature": 0.25,
  }
  return c
