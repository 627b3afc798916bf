"""What a network of this family is made of, by the names of transformers."""

import dataclasses
import math
from typing import Literal

from eartalk_jax.config import check_range
from eartalk_jax.speech.pretrained import HOP, Window


@dataclasses.dataclass(frozen=True)
class Config(Window):
  """Window, states and network.

  Hidden state 0 is what the first layer sees and state i what layer i makes, as
  in transformers 5. With `do_stable_layer_norm` there is one more: state
  num_hidden_layers + 1 is the last one after the final norm, which transformers
  call last_hidden_state.

  Attributes:
    do_normalize: whether a window is brought to mean 0 and variance 1 first.
    hidden_size: D.
    num_hidden_layers, num_attention_heads, intermediate_size: of the layers.
    conv_dim, conv_kernel, conv_stride: of each convolution of the front end.
    conv_bias: whether these have one.
    feat_extract_norm: "group", the first one is normalised over time; or
      "layer", each is over its channels.
    do_stable_layer_norm: whether layers normalise what they take instead of
      what they give.
    num_conv_pos_embeddings, num_conv_pos_embedding_groups: reach and groups of
      the convolution that tells positions.
    layer_norm_eps: of the layers' norms.
    num_buckets, max_bucket_distance: of WavLM's distances; 0 without.
  """

  do_normalize: bool = True
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  conv_dim: tuple[int, ...] = (512,) * 7
  conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
  conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
  conv_bias: bool = False
  feat_extract_norm: Literal["group", "layer"] = "group"
  do_stable_layer_norm: bool = False
  num_conv_pos_embeddings: int = 128
  num_conv_pos_embedding_groups: int = 16
  layer_norm_eps: float = 1e-5
  num_buckets: int = 0
  max_bucket_distance: int = 0

  def __post_init__(self):
    check_range(self, 1, 65_536, "hidden_size", "intermediate_size")
    check_range(self, 1, 256, "num_hidden_layers", "num_attention_heads")
    check_range(self, 1, 1024, "num_conv_pos_embeddings")
    check_range(self, 1, 65_536, "num_conv_pos_embedding_groups")
    check_range(self, 1e-12, 1, "layer_norm_eps")
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
      if self.hidden_size % getattr(self, name):
        raise ValueError(f"hidden_size is no multiple of {name}")
    self._check_front()
    if self.num_buckets:
      check_range(self, 4, 65_536, "num_buckets")
      # A quarter of the buckets is for distances that are told exactly.
      least = self.num_buckets // 4 + 1
      check_range(self, least, 1_000_000, "max_bucket_distance")
    self.check(self.last_state)

  def _check_front(self):
    """Raises ValueError unless the front end makes 50 vectors a second."""
    if not (
      1
      <= len(self.conv_dim)
      == len(self.conv_kernel)
      == len(self.conv_stride)
      <= 16
    ):
      raise ValueError("conv_dim, conv_kernel and conv_stride differ in length")
    sizes = *self.conv_dim, *self.conv_kernel, *self.conv_stride
    if not all(1 <= size <= 65_536 for size in sizes):
      raise ValueError("sizes of convolutions must be 1 to 65536")
    if math.prod(self.conv_stride) != HOP or self.beyond < 0:
      raise ValueError(
        f"conv_stride {list(self.conv_stride)} must make a vector of {HOP} "
        "samples, and conv_kernel reach over these"
      )

  @property
  def last_state(self):
    """Number of the last hidden state."""
    return self.num_hidden_layers + self.do_stable_layer_norm

  @property
  def beyond(self):
    """Samples that a vector hears after those of its own."""
    reach, hop = 1, 1
    for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
      reach, hop = reach + (kernel - 1) * hop, hop * stride
    return reach - hop
