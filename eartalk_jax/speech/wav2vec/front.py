"""From samples to 50 vectors a second, and where in the window they are.

Dimension key: B windows, S samples or places, N vectors, C channels, D width, k
places of a kernel, I channels of a group.
"""

import flax.linen as nn
import jax.numpy as jnp

from eartalk_jax.layers.basic import lift
from eartalk_jax.layers.convolutions import Conv1d, conv1d
from eartalk_jax.speech.wav2vec.config import Config

# PyTorch's, which the front end's norms have whatever the configuration says.
_EPSILON = 1e-5


def gelu(x):
  """With the error function: the tanh form differs by a thousandth."""
  return nn.gelu(x, approximate=False)


class Convolution(nn.Module):
  """One convolution of the front end: [B S I] -> [B S' C].

  Attributes:
    config: of the network.
    index: which one.
  """

  config: Config
  index: int

  @nn.compact
  def __call__(self, x_BSI):
    c, index = self.config, self.index
    x_BSC = Conv1d(
      c.conv_dim[index],
      c.conv_kernel[index],
      c.conv_stride[index],
      use_bias=c.conv_bias,
      name="conv",
    )(x_BSI)
    if c.feat_extract_norm == "layer":
      norm = nn.LayerNorm(
        epsilon=_EPSILON, use_fast_variance=False, name="layer_norm"
      )
      x_BSC = norm(x_BSC)
    elif index == 0:
      # Every channel over all of the window's time.
      norm = nn.GroupNorm(
        None, 1, epsilon=_EPSILON, use_fast_variance=False, name="layer_norm"
      )
      x_BSC = norm(x_BSC)
    return gelu(x_BSC)


class FeatureExtractor(nn.Module):
  """[B S] -> [B N C]; nothing is heard across a vector's edges."""

  config: Config

  @nn.compact
  def __call__(self, samples_BS):
    x = samples_BS[..., None]
    for index in range(len(self.config.conv_dim)):
      x = Convolution(self.config, index, name=f"conv_layers_{index}")(x)
    return x


class FeatureProjection(nn.Module):
  """[B N C] -> [B N D]."""

  config: Config

  @nn.compact
  def __call__(self, x_BNC):
    c = self.config
    norm = nn.LayerNorm(
      epsilon=c.layer_norm_eps, use_fast_variance=False, name="layer_norm"
    )
    return nn.Dense(c.hidden_size, name="projection")(norm(x_BNC))


class PositionalConvolution(nn.Module):
  """What is added to tell positions: [B N D] -> the same.

  The kernel of each place k has its own length: gain_k v_k / |v_k|.
  """

  config: Config

  @nn.compact
  def __call__(self, x_BND):
    c = self.config
    size, groups = c.num_conv_pos_embeddings, c.num_conv_pos_embedding_groups
    shape = size, c.hidden_size // groups, c.hidden_size
    direction_kID = self.param("direction", nn.initializers.normal(), shape)
    gain_11k = self.param("gain", nn.initializers.ones_init(), (1, 1, size))
    bias_D = self.param("bias", nn.initializers.zeros_init(), shape[-1:])
    length_k11 = jnp.linalg.norm(direction_kID, axis=(1, 2), keepdims=True)
    kernel_kID = direction_kID * (gain_11k.reshape(size, 1, 1) / length_k11)
    # An even kernel sees one vector more of the past than of the future.
    pad = size // 2, (size - 1) // 2
    out_BND = conv1d(x_BND, kernel_kID, pad=pad, groups=groups)
    return gelu(out_BND + lift(bias_D, 3))
