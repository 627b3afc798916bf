"""Sink Frame Window Attention (EARTalking, arXiv 2603.20307): what it is.

A block holds the M condition tokens of a frame and its N frame tokens, P in
all. A query of block i sees

  the sink frames' J tokens                          (always)
  the frame tokens of the blocks that a Visibility   (of EARTalking the last W)
    allows
  the condition tokens of block i                    (its own only)

`dense` states this with one mask and costs T^2. The other forms agree with it
to rounding error:

  banded   a clip in chunks of blocks, costs T: training on CPU and GPU
  splash   a clip by the block-sparse Pallas kernel: training on TPU
  step     one block against a ring cache, costs the same for ever: streams

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, V blocks of a halo, H heads, K head width.
"""

import dataclasses
import math

import flax.struct
import jax
import jax.numpy as jnp

from eartalk_jax.attention import positions
from eartalk_jax.attention.positions import rotate
from eartalk_jax.attention.visibility import Visibility

# A logit that weighs nothing, finite so that no row can become NaN.
MASKED = -1e30


@dataclasses.dataclass(frozen=True)
class Band:
  """What a query may see and from where.

  Attributes:
    view: Visibility.
    conditions: M.
    positions: one of `positions.KINDS`.
  """

  view: Visibility
  conditions: int
  positions: str = "relative"

  @property
  def _seen(self):
    """Blocks up to the sink's place."""
    cyclic = self.positions == "cyclic"
    return self.view.before + 1 + (self.view.after if cyclic else 0)

  def of_blocks(self, block):
    """See `positions.of_blocks`."""
    return positions.of_blocks(self.positions, block, self._seen)

  def of_ring(self, count_B, age_BW):
    """See `positions.of_ring`."""
    return positions.of_ring(self.positions, count_B, age_BW, self._seen)

  def rotated_sink(self, k_BJHK):
    """The sink's keys [B J H K] at their place."""
    return rotate(k_BJHK, positions.of_sink(self.positions, self._seen))

  def toward_sink(self, plain, turned):
    """Of queries [..., K] and the same at their place: what sees the sink."""
    return turned if self.positions == "cyclic" else plain


@flax.struct.dataclass
class Halo:
  """What comes before or after a clip that is a part of a longer one.

  Attributes:
    k_BVNHK, v_BVNHK: of the frame tokens of the blocks next to it: as many as a
      Visibility lets it see on that side.
    exists: bool scalar; False where the clip is the first or last part after
      all.
  """

  k_BVNHK: jax.Array
  v_BVNHK: jax.Array
  exists: jax.Array


def softmax(logits, dtype):
  """Over the last axis, in float32."""
  return jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(dtype)


def spatial(q, k, v):
  """Attention within frames, with no time: three [..., N, H, K] -> one."""
  q = q / math.sqrt(q.shape[-1])
  logits = jnp.einsum("...NHK,...nHK->...HNn", q, k)
  return jnp.einsum("...HNn,...nHK->...NHK", softmax(logits, v.dtype), v)


def dense(q_BTPHK, k_BTPHK, v_BTPHK, sink_k_BJHK, sink_v_BJHK, band, first_B):
  """The definition: every key, one mask. For tests and tiny inputs.

  Args:
    q_BTPHK, k_BTPHK, v_BTPHK: of the blocks.
    sink_k_BJHK, sink_v_BJHK: of the sink.
    band: Band.
    first_B: number of each clip's first block; relative positions ignore it.
  """
  b, t, p, h, k = q_BTPHK.shape
  j, m = sink_k_BJHK.shape[1], band.conditions
  q_BTPHK = q_BTPHK / math.sqrt(k)
  block_T = jnp.arange(t)
  number_BT = band.of_blocks(first_B[:, None] + block_T[None])
  place_BTP = jnp.broadcast_to(number_BT[..., None, None], (b, t, p, 1))
  turned_BTPHK = rotate(q_BTPHK, place_BTP)
  logits_BHTPtp = jnp.einsum(
    "BTPHK,BtpHK->BHTPtp", turned_BTPHK, rotate(k_BTPHK, place_BTP)
  )
  is_frame_P = jnp.arange(p) >= m
  band_TT = band.view.visible(block_T, block_T)
  own_TT = block_T[:, None] == block_T[None, :]
  mask_TtP = jnp.where(
    is_frame_P[None, None], band_TT[..., None], own_TT[..., None]
  )
  logits_BHTPtp = jnp.where(
    mask_TtP[None, None, :, None], logits_BHTPtp, MASKED
  )
  sink_BHTPJ = jnp.einsum(
    "BTPHK,BJHK->BHTPJ",
    band.toward_sink(q_BTPHK, turned_BTPHK),
    band.rotated_sink(sink_k_BJHK),
  )
  logits = jnp.concatenate(
    [sink_BHTPJ, logits_BHTPtp.reshape(b, h, t, p, t * p)], axis=-1
  )
  weights = softmax(logits, v_BTPHK.dtype)
  out_BTPHK = jnp.einsum("BHTPJ,BJHK->BTPHK", weights[..., :j], sink_v_BJHK)
  weights_BHTPtp = weights[..., j:].reshape(b, h, t, p, t, p)
  return out_BTPHK + jnp.einsum("BHTPtp,BtpHK->BTPHK", weights_BHTPtp, v_BTPHK)
