"""The frame tokenizer at real size: 512 px to 64 x 64 x 16 latents.

Run on a mesh of accelerators, from a frames dataset of real video:

  python -m launch.train_tokenizer --config configs/tokenizer.py \
    --workdir runs/tokenizer --config.data.frames=DIR \
    --config.data.held_out=DIR

Ends with WORKDIR/tokenizer, which `launch.tokenize` reads. For 256 px add
--config.model.size=256. It has about 110 M parameters. Only its shapes are
tested here; what was trained and measured is tokenizer_demo.py.
"""

import ml_collections

from configs import survival


def get_config():
  """Returns the configuration; the command overrides any leaf of it."""
  c = ml_collections.ConfigDict()
  c.model = {
    "kind": "patches",
    "size": 512,
    "patch": 8,
    "channels": 16,
    "width": 768,
    "heads": 12,
    "encoder_depth": 6,
    "decoder_depth": 9,
    "dtype": "bfloat16",
  }
  c.objective = {"kl": 1e-6, "noise": 0.05, "softness": 0.1}
  c.data = {
    "frames": "data/frames/train",
    "held_out": "",
    "per_clip": 8,
    "length": 1,
    "crop": 0,
    "threads": 8,
    "prefetch": 4,
  }
  c.statistics_pictures = 16_384
  c.run = {
    "steps": 200_000,
    "seed": 0,
    "batch_size": 256,
    "optimizer": {
      "matrices": "adam",
      "peak_lr": 5e-4,
      "warmup_steps": 2_000,
      "decay": "cosine",
      "decay_steps": 0,
      "end_lr_fraction": 0.02,
      "weight_decay": 0.01,
      "b1": 0.9,
      "b2": 0.99,
      "clip_norm": 1.0,
      "base_width": 0,
      "base_head_width": 0,
    },
    "ema_decay": 0.9995,
    "log_every": 50,
    "save_every": 1_000,
    "diagnose_every": 1_000,
    "keep": 3,
    "mesh": {"data": -1, "fsdp": 1, "tensor": 1, "context": 1},
    **survival.settings(),
  }
  return c
