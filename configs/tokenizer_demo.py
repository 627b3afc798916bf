"""The demo's tokenizer: 64 px to 8 x 8 x 16 latents, minutes on two CPU cores.

  python -m launch.train_tokenizer --config configs/tokenizer_demo.py \
    --workdir runs/demo/tokenizer

Expect about 32 dB on people it never saw, with 680 clips of 50 frames.
"""

from configs import tokenizer


def get_config():
  """Returns tokenizer.py with smaller numbers."""
  c = tokenizer.get_config()
  model = c.model
  model.size = 64
  model.width, model.heads = 192, 6
  model.encoder_depth, model.decoder_depth = 1, 2
  model.dtype = "float32"
  c.data.frames = "runs/demo/frames/train"
  c.data.held_out = "runs/demo/frames/held_out"
  c.data.per_clip, c.data.threads = 1, 1
  c.statistics_pictures = 2_048
  run = c.run
  run.steps, run.batch_size = 2_000, 8
  run.optimizer.peak_lr, run.optimizer.warmup_steps = 4e-3, 100
  run.ema_decay = 0.995
  run.log_every, run.save_every, run.diagnose_every = 50, 250, 250
  return c
