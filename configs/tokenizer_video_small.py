"""The same network, small: 256 px, 4 frames to 32 x 32 x 8 latents.

Ten minutes on two CPU cores, which is too short: 380 steps give 20 dB on the
pieces it learns from and 14 dB held out, and frames of a latent still run into
each other (docs/encoders.md). Raise run.steps for more:

  python -m launch.train_tokenizer --config configs/tokenizer_video_small.py \
    --workdir runs/road/wan --config.data.frames=runs/road/frames/train \
    --config.data.held_out=runs/road/frames/held_out
"""

from configs import tokenizer_video


def get_config():
  """Returns tokenizer_video.py with smaller numbers."""
  c = tokenizer_video.get_config()
  c.model.size, c.model.base_dim = 256, 8
  c.model.z_dim, c.model.num_res_blocks = 8, 1
  c.data.per_clip, c.data.length, c.data.crop = 1, 5, 128
  c.data.threads = 1
  c.statistics_pictures = 256
  run = c.run
  run.steps, run.batch_size = 450, 4
  run.optimizer.peak_lr, run.optimizer.warmup_steps = 1.5e-3, 30
  run.ema_decay = 0.98
  run.log_every, run.save_every, run.diagnose_every = 25, 200, 100
  return c
