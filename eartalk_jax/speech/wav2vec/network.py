"""The network of wav2vec 2.0, HuBERT and WavLM.

After Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of
Speech Representations" (arXiv 2006.11477), Hsu et al., "HuBERT" (arXiv
2106.07447), as transformers have them; modules are named as there.

Dimension key: B windows, S samples, N vectors (M that are looked at), D width,
H heads, K head width.
"""

import flax.linen as nn
import jax

from eartalk_jax.speech.wav2vec.config import Config
from eartalk_jax.speech.wav2vec.front import (
  FeatureExtractor,
  FeatureProjection,
  PositionalConvolution,
  gelu,
)
from eartalk_jax.speech.wav2vec.relative import Table, gated


def _norm(config, name):
  return nn.LayerNorm(
    epsilon=config.layer_norm_eps, use_fast_variance=False, name=name
  )


class Attention(nn.Module):
  """Everything sees everything: [B N D] -> the same, and WavLM's table.

  Attributes:
    config: of the network.
    first: whether it is the first layer's, which has the table for all.
  """

  config: Config
  first: bool

  @nn.compact
  def __call__(self, x_BND, table_HNM):
    c = self.config
    heads = c.num_attention_heads
    x_BNHK = x_BND.reshape(*x_BND.shape[:-1], heads, -1)
    q, k, v = (
      nn.Dense(c.hidden_size, name=name)(x_BND).reshape(x_BNHK.shape)
      for name in ("q_proj", "k_proj", "v_proj")
    )
    bias_BHNM = None
    if c.num_buckets:
      if self.first:
        sizes = c.num_buckets, c.max_bucket_distance
        table_HNM = Table(heads, *sizes, name="rel_attn_embed")(x_BND.shape[1])
      ones = nn.initializers.ones_init()
      constant = self.param("gru_rel_pos_const", ones, (1, heads, 1, 1))
      gates_BNH8 = nn.Dense(8, name="gru_rel_pos_linear")(x_BNHK)
      bias_BHNM = gated(gates_BNH8, constant, table_HNM)
    seen_BNHK = jax.nn.dot_product_attention(q, k, v, bias_BHNM)
    out = nn.Dense(c.hidden_size, name="out_proj")
    return out(seen_BNHK.reshape(x_BND.shape)), table_HNM


class FeedForward(nn.Module):
  """[B N D] -> the same."""

  config: Config

  @nn.compact
  def __call__(self, x_BND):
    c = self.config
    hidden = nn.Dense(c.intermediate_size, name="intermediate_dense")(x_BND)
    return nn.Dense(c.hidden_size, name="output_dense")(gelu(hidden))


class Layer(nn.Module):
  """Attention and feed-forward: [B N D] -> the same, and WavLM's table.

  Attributes:
    config, first: see `Attention`.
  """

  config: Config
  first: bool

  @nn.compact
  def __call__(self, x_BND, table_HNM):
    c = self.config
    attention = Attention(c, self.first, name="attention")
    feed_forward = FeedForward(c, name="feed_forward")
    norm, final = _norm(c, "layer_norm"), _norm(c, "final_layer_norm")
    if c.do_stable_layer_norm:
      seen_BND, table_HNM = attention(norm(x_BND), table_HNM)
      x_BND = x_BND + seen_BND
      return x_BND + feed_forward(final(x_BND)), table_HNM
    seen_BND, table_HNM = attention(x_BND, table_HNM)
    x_BND = norm(x_BND + seen_BND)
    return final(x_BND + feed_forward(x_BND)), table_HNM


class Encoder(nn.Module):
  """[B N D] -> the hidden states of config.states, each [B N D]."""

  config: Config

  @nn.compact
  def __call__(self, x_BND):
    c = self.config
    x_BND = x_BND + PositionalConvolution(c, name="pos_conv_embed")(x_BND)
    norm = _norm(c, "layer_norm")
    if not c.do_stable_layer_norm:
      x_BND = norm(x_BND)
    states, table_HNM = [x_BND], None
    # Layers that nobody asks for have parameters, and are not computed.
    last = c.last_state if self.is_initializing() else max(c.states)
    for index in range(min(last, c.num_hidden_layers)):
      layer = Layer(c, index == 0, name=f"layers_{index}")
      x_BND, table_HNM = layer(x_BND, table_HNM)
      states.append(x_BND)
    if last > c.num_hidden_layers:
      states.append(norm(x_BND))
    return [states[number] for number in c.states]


class Network(nn.Module):
  """Windows of samples, [B S], to hidden states; see `Encoder`."""

  config: Config

  @nn.compact
  def __call__(self, samples_BS):
    c = self.config
    x_BNC = FeatureExtractor(c, name="feature_extractor")(samples_BS)
    x_BND = FeatureProjection(c, name="feature_projection")(x_BNC)
    return Encoder(c, name="encoder")(x_BND)
