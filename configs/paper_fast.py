"""paper.py, fast: 6 sets of 8 steps of flow matching, a stack of 6 layers.

  python -m launch.train --config configs/paper_fast.py --workdir runs/fast \
    --config.data.tokens=DIR --config.tokenizer=DIR

The same factorisation with 6 passes through the stack and 48 through the
denoiser for a frame, instead of 36 and 900.
"""

from configs import paper


def get_config():
  """Returns paper.py with fewer, straighter steps."""
  c = paper.get_config()
  head = c.model.head
  head.process, head.sets, head.steps = "flow", 6, 8
  head.depth, head.shift, head.temperature = 6, 20.0, 0.25
  return c
