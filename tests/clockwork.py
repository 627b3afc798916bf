"""A tokenizer of the kind wan whose weights are written, not learned.

Each latent keeps the grey of its frames, in order, in its first channels: what
comes back says which frame it was. Between, nothing is done but to carry.
"""

import jax
import numpy as np
from flax import traverse_util

from eartalk_jax.tokenizers.wan import Config, WanTokenizer, init

_C = 16
# Beside a number so large the norms of the network change little.
_LARGE = 10.0


def clockwork(in_time, size=32):
  """A Tokenizer of stride 2 ** sum(in_time), with a level for each of them."""
  config = Config(
    size,
    base_dim=_C,
    z_dim=8,
    dim_mult=(1,) * (len(in_time) + 1),
    num_res_blocks=1,
    temperal_downsample=in_time,
  )
  shapes = jax.eval_shape(init(config), jax.random.key(0))
  leaves = traverse_util.flatten_dict(shapes, sep="/")
  params = {path: np.zeros(x.shape, np.float32) for path, x in leaves.items()}
  for path, array in params.items():
    if path.endswith("gamma"):
      array[:] = _LARGE / _C**0.5 if "norm_out" in path else 1
    if path.endswith(("resample_1/kernel", "shortcut/kernel", "t_conv/kernel")):
      _carry(array, path)
  _encoder(params, in_time)
  _decoder(params, in_time)
  zeros, ones = np.zeros(8, np.float32), np.ones(8, np.float32)
  params = traverse_util.unflatten_dict(params, sep="/")
  return WanTokenizer(config, params, zeros, ones)


def _carry(kernel, path):
  """Channels stay; on the way down every other pixel does."""
  middle = [side // 2 for side in kernel.shape[:-2]]
  here = [0, 0] if "down_blocks" in path else middle
  for channel in range(min(kernel.shape[-2:])):
    kernel[(*here, channel, channel)] = 1


def _encoder(params, in_time):
  params["encoder/conv_in/kernel"][2, 1, 1, :, 0] = 1 / 3
  params["encoder/conv_in/bias"][_C - 1] = _LARGE
  held = 1
  for level, joins in enumerate(in_time):
    if joins:
      path = f"encoder/down_blocks_{2 * level + 1}/time_conv/kernel"
      for channel in range(held):
        params[path][1, 0, 0, channel, channel] = 1
        params[path][2, 0, 0, channel, held + channel] = 1
      params[path][2, 0, 0, _C - 1, _C - 1] = 1
      held *= 2
  for channel in range(8):
    params["encoder/conv_out/kernel"][2, 1, 1, channel, channel] = 1


def _decoder(params, in_time):
  for channel in range(8):
    params["decoder/conv_in/kernel"][2, 1, 1, channel, channel] = 1
  held = 2 ** sum(in_time)
  for level, splits in enumerate(reversed(in_time)):
    if splits:
      held //= 2
      path = f"decoder/up_blocks_{level}/upsamplers_0/time_conv/kernel"
      for channel in range(held):
        params[path][2, 0, 0, channel, channel] = 1
        params[path][2, 0, 0, held + channel, _C + channel] = 1
  last = f"decoder/up_blocks_{len(in_time)}/resnets_0/conv_shortcut/bias"
  params[last][_C - 1] = _LARGE
  # After two nonlinearities the greys from -1 to 1 are about these.
  params["decoder/conv_out/kernel"][2, 1, 1, 0] = 2 / (0.49 + 0.12)
  params["decoder/conv_out/bias"][:] = -1 + 0.12 * 2 / (0.49 + 0.12)
