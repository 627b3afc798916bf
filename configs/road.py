"""The smallest talker on latents of 4 frames, for `python -m benchmarks.road`.

  python -m launch.train --config configs/road.py --workdir runs/road/talker

It learns when to flash, in two minutes on two CPU cores, and little else.
"""

from configs import demo


def get_config():
  """Returns demo.py for the tokenizer of tokenizer_video_small.py."""
  c = demo.get_config()
  c.tokenizer = "runs/road/wan/tokenizer"
  model = c.model
  model.latent_shape, model.stride, model.patch = (32, 32, 8), 4, 8
  model.width, model.sink_rank = 96, 8
  model.audio.past, model.audio.ahead, model.audio.drop = 1, 1, 0.0
  model.audio.steps = model.audio.bins = 0  # those of the tokens
  model.controls = []
  model.head.width, model.head.rank, model.head.temperature = 96, 32, 0.0
  c.data.tokens, c.data.frames = "runs/road/tokens/wan", 3
  run = c.run
  run.steps, run.batch_size = 400, 16
  run.optimizer.matrices, run.optimizer.peak_lr = "adam", 3e-3
  run.ema_decay, run.diagnose_every = 0.95, 1_000
  return c
