"""The encoder of Whisper: two convolutions and a transformer.

After Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision" (arXiv 2212.04356), as transformers have it; modules are named as
there.

Dimension key: B windows, M frames of the spectrogram, F mel bins, N vectors (M
/ 2), D width, H heads, K head width.
"""

import dataclasses

import flax.linen as nn
import jax

from eartalk_jax.config import check_range
from eartalk_jax.layers.convolutions import Conv1d
from eartalk_jax.speech.pretrained import VECTORS, Window

# PyTorch's; the configuration says nothing of it.
_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Config(Window):
  """Window, states and network, by the names of transformers.

  Hidden state 0 is what the first layer sees and state i what layer i makes;
  the last one, encoder_layers, is after the final norm, as in transformers.

  Attributes:
    num_mel_bins: F.
    d_model: D.
    encoder_layers, encoder_attention_heads, encoder_ffn_dim: of the layers.
    max_source_positions: N. A window may be shorter; silence fills the rest.
  """

  num_mel_bins: int = 80
  d_model: int = 384
  encoder_layers: int = 4
  encoder_attention_heads: int = 6
  encoder_ffn_dim: int = 1536
  max_source_positions: int = 1500

  def __post_init__(self):
    check_range(self, 1, 512, "num_mel_bins")
    check_range(self, 1, 65_536, "d_model", "encoder_ffn_dim")
    check_range(self, 1, 256, "encoder_layers", "encoder_attention_heads")
    check_range(self, 1, 100_000, "max_source_positions")
    if self.d_model % self.encoder_attention_heads:
      raise ValueError("d_model is no multiple of encoder_attention_heads")
    self.check(self.last_state)
    if VECTORS * self.frames > self.max_source_positions:
      raise ValueError(
        f"left, step and right are {self.frames} frames together; "
        f"max_source_positions {self.max_source_positions} has room for "
        f"{self.max_source_positions // VECTORS}"
      )

  @property
  def last_state(self):
    """Number of the last hidden state."""
    return self.encoder_layers


def _norm(name):
  return nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False, name=name)


def _gelu(x):
  return nn.gelu(x, approximate=False)


class Attention(nn.Module):
  """Everything sees everything: [B N D] -> the same."""

  config: Config

  @nn.compact
  def __call__(self, x_BND):
    c = self.config
    heads = *x_BND.shape[:-1], c.encoder_attention_heads, -1
    q, k, v = (
      nn.Dense(c.d_model, use_bias=name != "k_proj", name=name)(x_BND)
      for name in ("q_proj", "k_proj", "v_proj")
    )
    seen_BNHK = jax.nn.dot_product_attention(
      q.reshape(heads), k.reshape(heads), v.reshape(heads)
    )
    out = nn.Dense(c.d_model, name="out_proj")
    return out(seen_BNHK.reshape(x_BND.shape))


class Layer(nn.Module):
  """Attention and feed-forward: [B N D] -> the same."""

  config: Config

  @nn.compact
  def __call__(self, x_BND):
    c = self.config
    normal_BND = _norm("self_attn_layer_norm")(x_BND)
    x_BND = x_BND + Attention(c, name="self_attn")(normal_BND)
    normal_BND = _norm("final_layer_norm")(x_BND)
    hidden = _gelu(nn.Dense(c.encoder_ffn_dim, name="fc1")(normal_BND))
    return x_BND + nn.Dense(c.d_model, name="fc2")(hidden)


class Network(nn.Module):
  """[B M F], M = 2 max_source_positions, to config.states, each [B N D]."""

  config: Config

  @nn.compact
  def __call__(self, mel_BMF):
    c = self.config
    conv1 = Conv1d(c.d_model, 3, pad=(1, 1), name="conv1")
    conv2 = Conv1d(c.d_model, 3, stride=2, pad=(1, 1), name="conv2")
    x_BND = _gelu(conv2(_gelu(conv1(mel_BMF))))
    positions_ND = self.param(
      "positions", nn.initializers.normal(), x_BND.shape[1:]
    )
    states = [x_BND + positions_ND[None]]
    # Layers that nobody asks for have parameters, and are not computed.
    last = c.encoder_layers if self.is_initializing() else max(c.states)
    for index in range(last):
      states.append(Layer(c, name=f"layers_{index}")(states[-1]))
    if last == c.encoder_layers:
      states[-1] = _norm("layer_norm")(states[-1])
    return [states[number] for number in c.states]
