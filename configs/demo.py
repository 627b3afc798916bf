"""The demo: 64 px, trained in 8 minutes on two CPU cores.

  python -m launch.train --config configs/demo.py --workdir runs/demo/talker

`make demo` prepares what it reads and shows what came of it. Expect `loss` to
fall from 0.38 to 0.08, `listens/audio` to pass 0.1 by step 1,000, and held-out
lips that follow the speech at 0.85 (docs/demo.md has every figure).
"""

from configs import base


def get_config():
  """Returns base.py with smaller numbers."""
  c = base.get_config()
  c.tokenizer = "runs/demo/tokenizer/tokenizer"
  model = c.model
  model.latent_shape = (8, 8, 16)
  model.stride = 1
  model.patch = 2
  model.width, model.depth, model.heads = 128, 1, 2
  model.window = 2
  model.audio.steps, model.audio.bins = 4, 40
  model.audio.tokens = 1
  model.head.width, model.head.depth, model.head.heads = 128, 1, 2
  model.head.rank, model.head.draws = 24, 1
  model.dtype = "float32"
  model.remat = False
  c.data.tokens = "runs/demo/tokens/train"
  c.data.frames, c.data.threads = 2, 1
  run = c.run
  run.steps, run.batch_size = 2_400, 64
  run.optimizer.peak_lr, run.optimizer.warmup_steps = 5e-3, 50
  run.optimizer.weight_decay = 0.1
  run.ema_decay = 0.99
  run.log_every, run.save_every, run.diagnose_every = 20, 250, 250
  return c
