"""Sink Frame Window Attention (EARTalking, arXiv 2603.20307): what it is.

A block holds the M condition tokens of a frame and its N frame tokens, P in
all. A query of block i sees

  the sink frames' J tokens                          (always)
  the frame tokens of blocks i-W+1 .. i              (the window)
  the condition tokens of block i                    (its own only)

`dense` states this with one mask and costs T^2. The other forms agree with it
to rounding error:

  sfa_banded   a clip in chunks of W blocks, costs T: training on CPU and GPU
  sfa_splash   a clip by the block-sparse Pallas kernel: training on TPU
  sfa_step     one block against a ring cache, costs the same for ever: streams

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, W window, V = W - 1, H heads, K head width.
"""

import dataclasses
import math

import flax.struct
import jax
import jax.numpy as jnp

from eartalk_jax.attention import positions
from eartalk_jax.attention.positions import rotate

# A logit that weighs nothing, finite so that no row can become NaN.
MASKED = -1e30


@dataclasses.dataclass(frozen=True)
class Band:
  """What a query may see and from where.

  Attributes:
    window: W.
    conditions: M.
    positions: one of `positions.KINDS`.
  """

  window: int
  conditions: int
  positions: str = "relative"

  def of_blocks(self, block):
    """See `positions.of_blocks`."""
    return positions.of_blocks(self.positions, block, self.window)

  def rotated_sink(self, k_BJHK):
    """The sink's keys at their place."""
    return rotate(k_BJHK, positions.of_sink(self.positions, self.window))

  def toward_sink(self, plain, turned):
    """Of a query and the same query at its place: what looks at the sink."""
    return turned if self.positions == "cyclic" else plain


@flax.struct.dataclass
class Halo:
  """What came before a clip that is the later part of a longer one.

  Attributes:
    k_BVNHK, v_BVNHK: of the frame tokens of the W-1 blocks before it.
    exists: bool scalar; False where the clip is the first part after all.
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


def visible(query_T, key_T, window):
  """[T, T] bool: may a query of block i see the frame tokens of block j."""
  age_TT = query_T[:, None] - key_T[None, :]
  return (age_TT >= 0) & (age_TT < window)


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
  band_TT = visible(block_T, block_T, band.window)
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
