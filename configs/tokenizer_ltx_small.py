"""A network of LTX-Video, small: 256 px, 8 frames to 8 x 8 x 32 latents.

Minutes on two CPU cores, in which it learns the colours of a picture and little
else: 15 dB after 450 steps (docs/encoders.md). Raise run.steps for more:

  python -m launch.train_tokenizer --config configs/tokenizer_ltx_small.py \
    --workdir runs/road/ltx --config.data.frames=runs/road/frames/train \
    --config.data.held_out=runs/road/frames/held_out
"""

from configs import tokenizer_video_small


def get_config():
  """Returns tokenizer_video_small.py with the network 0.9.5 of LTX-Video."""
  c = tokenizer_video_small.get_config()
  c.model = {
    "kind": "ltx",
    "size": 256,
    "latent_channels": 32,
    "block_out_channels": (8, 16, 32, 64, 64),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "layers_per_block": (1, 1, 1, 1, 1),
    "spatio_temporal_scaling": (True,) * 4,
    "downsample_type": (
      *("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    ),
    "decoder_block_out_channels": (16, 32, 64),
    "decoder_layers_per_block": (1, 1, 1, 1),
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_inject_noise": (False,) * 4,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2,) * 3,
    "timestep_conditioning": False,
    "decode_timestep": 0.05,
    "context": 2,
    "delay": 1,
  }
  # What the decoder sees at a time: the first latent and two more.
  c.data.length, c.data.crop = 17, 64
  c.run.steps, c.run.optimizer.peak_lr = 450, 2e-3
  return c
