"""EARTalking at research scale: 512 px, W = 10, 0.43 B parameters.

Run on a mesh of accelerators, from token shards of real video:

  python -m launch.train --config configs/base.py --workdir runs/base \
    --config.data.tokens=DIR --config.tokenizer=DIR

Latents are those of Wan 2.1, four frames each (configs/encoders.py says how to
get it), speech whatever the tokens hold. Widths and depths follow NOVA's 0.6 B
model (arXiv 2412.14169), the window is EARTalking's: ten latents, 1.6 s. A
training window has 32 latents, 5.1 s. Every other config is this one with some
numbers changed.
"""

import ml_collections

from configs import encoders, survival


def get_config():
  """Returns the configuration; `launch.train` overrides any leaf of it."""
  c = ml_collections.ConfigDict()
  c.recipe = {"kind": "ear"}
  c.model = {
    "width": 1024,
    "depth": 24,
    "heads": 16,
    "window": 10,
    "positions": "relative",
    "sinks": 1,
    "sink_rank": 24,
    "without": [],
    "audio": {
      "past": 4,
      "ahead": 2,
      "steps": 0,
      "bins": 0,
      "tokens": 2,
      "drop": 0.1,
      "states": 1,
    },
    "controls": [
      {"name": "pose", "kind": "continuous", "size": 3, "drop": 0.05},
      {"name": "blink", "kind": "continuous", "size": 1, "drop": 0.05},
      {"name": "gaze", "kind": "continuous", "size": 2, "drop": 0.05},
      {"name": "emotion", "kind": "categorical", "size": 5, "drop": 0.05},
    ],
    "history": {"max_level": 3.0, "clean_share": 0.1, "sampling_level": 3.0},
    "head": {
      "kind": "flow",
      "width": 1024,
      "depth": 6,
      "heads": 16,
      "rank": 192,
      "draws": 4,
      "steps": 8,
      "spread": 0.65,
      "shift": 20.0,
      "temperature": 0.25,
    },
    "dtype": "bfloat16",
    "remat": True,
    "unroll": 1,
  }
  encoders.wan(c)
  c.data = {
    "tokens": "data/tokens/train",
    "frames": 32,
    "threads": 4,
    "prefetch": 4,
  }
  c.run = {
    "steps": 400_000,
    "seed": 0,
    "batch_size": 256,
    "optimizer": {
      "matrices": "muon",
      "peak_lr": 3e-4,
      "warmup_steps": 5_000,
      "decay": "cosine",
      "decay_steps": 0,
      "end_lr_fraction": 0.05,
      "weight_decay": 0.02,
      "b1": 0.9,
      "b2": 0.95,
      "clip_norm": 1.0,
      "base_width": 0,
      "base_head_width": 0,
    },
    "ema_decay": 0.9999,
    "log_every": 50,
    "save_every": 1_000,
    "diagnose_every": 1_000,
    "keep": 3,
    "mesh": {"data": -1, "fsdp": 1, "tensor": 1, "context": 1},
    **survival.settings(),
  }
  return c
