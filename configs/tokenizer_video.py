"""A video tokenizer at real size: 512 px, 4 frames to 64 x 64 x 16 latents.

Wan 2.1's network, from the beginning, on pieces of 17 frames and 256 px; what
convolutions learn there is true of the whole picture. Run on a mesh of
accelerators, from a frames dataset of real video:

  python -m launch.train_tokenizer --config configs/tokenizer_video.py \
    --workdir runs/tokenizer_video --config.data.frames=DIR \
    --config.data.held_out=DIR

Ends with WORKDIR/tokenizer, which `launch.tokenize` reads. It has 127 M
parameters, and every activation of a piece is kept for its gradient: lower
run.batch_size or raise run.accumulate where memory ends. Only its shapes are
tested here; what was trained and measured is tokenizer_video_small.py.
"""

from configs import tokenizer


def get_config():
  """Returns tokenizer.py with another network, which sees time."""
  c = tokenizer.get_config()
  c.model = {
    "kind": "wan",
    "size": 512,
    "base_dim": 96,
    "decoder_base_dim": None,
    "z_dim": 16,
    "dim_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
    "temperal_downsample": (False, True, True),
    "is_residual": False,
    "patch_size": None,
  }
  c.data.per_clip, c.data.length, c.data.crop = 2, 17, 256
  c.run.batch_size = 64
  c.run.optimizer.peak_lr = 1e-4
  return c
