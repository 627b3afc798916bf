"""demo.py for a scaling law on two CPU cores; the reference size of a ladder.

  python -m launch.sweep plan --config configs/scaling.py --out runs/law \
    --budgets 2e11,3.6e11,6.4e11,1.15e12 --check 4.6e12

`make demo` prepares what it reads, except for the held-out tokens:

  python -m launch.tokenize --input runs/demo/frames/held_out --speech mel:40 \
    --tokenizer runs/demo/tokenizer/tokenizer --out runs/demo/tokens/held_out

docs/scaling.md has what came of it. All sizes are one layer deep, in backbone
and head: `ladder` keeps the depth that the reference has for its width, and
none of them is wider than the reference.
"""

from configs import demo


def get_config():
  """Returns demo.py with the part that `launch.sweep` reads."""
  c = demo.get_config()
  c.model.width, c.model.heads = 96, 3
  c.model.head.width, c.model.head.heads = 96, 3
  run = c.run
  run.batch_size = 16
  run.optimizer.peak_lr, run.optimizer.warmup_steps = 4e-3, 20
  run.ema_decay = 0.9
  run.save_every, run.diagnose_every = 1_000, 1_000_000
  c.sweep = {
    "held_out": "runs/demo/tokens/held_out",
    "windows": 320,
    "draws": 4,
    "frames": "runs/demo/frames/held_out",
    "probe_frames": "runs/demo/frames/train",
    "clips": 6,
    "clip_frames": 50,
    "ladder": {
      "spacing": 1.4,
      "unit": 4,
      "head_dim": 32,
      "each_side": 3,
      "frames_per_param": 0.28,
      "cooldown": 0.2,
      "least_steps": 100,
      "lr_power": 0.5,
    },
  }
  return c
