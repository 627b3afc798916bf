"""EAR 1 B."""

from configs import base


def get_config():
  """Returns base.py at that size."""
  c = base.get_config()
  c.tokenizer = "runs/ear_1b/tokenizer"
  model, run = c.model, c.run
  model.width, model.depth, model.heads = 2048, 14, 16
  model.head.width, model.head.depth, model.head.heads = 2048, 4, 16
  run.batch_size, run.accumulate = 256, 4
  run.optimizer.peak_lr = 2e-4
  run.mesh = {"data": -1, "fsdp": 4, "tensor": 1}
  return c
