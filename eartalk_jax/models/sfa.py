"""Sink Frame Window Attention (EARTalking, arXiv 2603.20307), in three forms.

A block holds the M condition tokens of a frame and its N frame tokens, P in
all. A query of block i sees

  the sink frames' J tokens                          (always)
  the frame tokens of blocks i-W+1 .. i              (the window)
  the condition tokens of block i                    (its own only)

`dense` states this with one mask and costs T^2. `banded` computes the same in
chunks of W blocks and costs T; it is what training runs. `step` computes one
block against a ring cache and costs the same for ever; it is what streaming
runs. All three agree to rounding error.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, W window, G chunks, Q queries of a chunk, R keys
of a chunk, S blocks whose frames a chunk sees, H heads, K head width.
"""

import dataclasses
import math

import flax.struct
import jax
import jax.numpy as jnp

from eartalk_jax.models import positions
from eartalk_jax.models.positions import rotate

_MASKED = -1e30


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
class LayerCache:
  """What one layer of one stream remembers: the sink and W frames, for ever.

  Window keys are kept un-rotated and rotated at reading. The sink's place
  never changes, so its keys are kept rotated.
  """

  k_BWNHK: jax.Array
  v_BWNHK: jax.Array
  sink_k_BJHK: jax.Array
  sink_v_BJHK: jax.Array

  @classmethod
  def empty(cls, sink_k_BJHK, sink_v_BJHK, tokens, band):
    """A cache that holds only the sink, whose keys come un-rotated.

    Args:
      sink_k_BJHK, sink_v_BJHK: of the sink.
      tokens: N.
      band: Band.
    """
    b, _, h, k = sink_k_BJHK.shape
    ring = (b, band.window, tokens, h, k)
    return cls(
      k_BWNHK=jnp.zeros(ring, sink_k_BJHK.dtype),
      v_BWNHK=jnp.zeros(ring, sink_v_BJHK.dtype),
      sink_k_BJHK=band.rotated_sink(sink_k_BJHK),
      sink_v_BJHK=sink_v_BJHK,
    )


def _softmax(logits, dtype):
  return jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(dtype)


def spatial(q_BNHK, k_BNHK, v_BNHK):
  """Attention of one frame to itself, with no time: the sink's own block."""
  scale = 1 / math.sqrt(q_BNHK.shape[-1])
  logits_BHNn = jnp.einsum("BNHK,BnHK->BHNn", q_BNHK * scale, k_BNHK)
  return jnp.einsum(
    "BHNn,BnHK->BNHK", _softmax(logits_BHNn, v_BNHK.dtype), v_BNHK
  )


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
    mask_TtP[None, None, :, None], logits_BHTPtp, _MASKED
  )
  sink_BHTPJ = jnp.einsum(
    "BTPHK,BJHK->BHTPJ",
    band.toward_sink(q_BTPHK, turned_BTPHK),
    band.rotated_sink(sink_k_BJHK),
  )
  logits = jnp.concatenate(
    [sink_BHTPJ, logits_BHTPtp.reshape(b, h, t, p, t * p)], axis=-1
  )
  weights = _softmax(logits, v_BTPHK.dtype)
  out_BTPHK = jnp.einsum("BHTPJ,BJHK->BTPHK", weights[..., :j], sink_v_BJHK)
  weights_BHTPtp = weights[..., j:].reshape(b, h, t, p, t, p)
  return out_BTPHK + jnp.einsum("BHTPtp,BtpHK->BTPHK", weights_BHTPtp, v_BTPHK)


def _chunk_blocks(chunks, window):
  """Blocks whose frames a chunk's queries may see, [S].

  Counted from the start of the chunk before, so positions stay small however
  long the clip is. A clip of one chunk has none before: S is W, else 2W.
  """
  return jnp.arange(window if chunks == 1 else 0, 2 * window)


def _chunk_keys(x_BGWPHK, m):
  """Keys (or values) that a chunk's queries may see, [B G R H K].

  R = S*N + W*M: frame tokens of the chunk before, if there is any, and of the
  chunk itself, then the chunk's condition tokens.
  """
  b, g, _, _, h, k = x_BGWPHK.shape
  frames_BGWNHK = x_BGWPHK[..., m:, :, :]
  parts = [frames_BGWNHK, x_BGWPHK[..., :m, :, :]]
  if g > 1:
    first = ((0, 0), (1, 0)) + ((0, 0),) * 4
    parts.insert(0, jnp.pad(frames_BGWNHK[:, :-1], first))
  return jnp.concatenate([x.reshape(b, g, -1, h, k) for x in parts], axis=2)


def _chunk_mask(chunks, window, p, m):
  """[G Q R] bool over `_chunk_keys`: the band, and own conditions only."""
  block_S = _chunk_blocks(chunks, window)
  query_W = block_S[-window:]
  exists_GS = (jnp.arange(chunks)[:, None] > 0) | (block_S >= window)[None]
  band_GWS = visible(query_W, block_S, window)[None] & exists_GS[:, None]
  own_WW = query_W[:, None] == query_W[None, :]
  own_GWW = jnp.broadcast_to(own_WW[None], (chunks, window, window))
  mask_GWR = jnp.concatenate(
    [jnp.repeat(band_GWS, p - m, axis=2), jnp.repeat(own_GWW, m, axis=2)],
    axis=2,
  )
  return jnp.repeat(mask_GWR, p, axis=1)


def _chunk_places(chunks, band, first_B):
  """Positions of `_chunk_blocks`, broadcastable to [B G S].

  Relative ones are the same in every chunk.
  """
  block_S = _chunk_blocks(chunks, band.window)
  if band.positions == "relative":
    return block_S[None, None]
  start_G = (jnp.arange(chunks) - 1) * band.window
  start_BG = first_B[:, None] + start_G[None]
  return band.of_blocks(start_BG[..., None] + block_S[None, None])


def banded(q_BTPHK, k_BTPHK, v_BTPHK, sink_k_BJHK, sink_v_BJHK, band, first_B):
  """The same as `dense`, in chunks of W blocks: cost grows as T."""
  b, t, p, h, k = q_BTPHK.shape
  m, window = band.conditions, band.window
  n, g = p - m, -(-t // window)
  pad = ((0, 0), (0, g * window - t), (0, 0), (0, 0), (0, 0))
  chunked = (b, g, window, p, h, k)
  q_BGWPHK = (jnp.pad(q_BTPHK, pad) / math.sqrt(k)).reshape(chunked)
  k_BGWPHK = jnp.pad(k_BTPHK, pad).reshape(chunked)
  v_BGWPHK = jnp.pad(v_BTPHK, pad).reshape(chunked)
  place_BGS = _chunk_places(g, band, first_B)
  place_BGW = place_BGS[..., -window:]
  place_BGR = jnp.concatenate(
    [jnp.repeat(place_BGS, n, axis=-1), jnp.repeat(place_BGW, m, axis=-1)],
    axis=-1,
  )
  keys_BGRHK = rotate(_chunk_keys(k_BGWPHK, m), place_BGR[..., None])
  values_BGRHK = _chunk_keys(v_BGWPHK, m)
  turned_BGWPHK = rotate(q_BGWPHK, place_BGW[..., None, None])
  turned_BGQHK = turned_BGWPHK.reshape(b, g, -1, h, k)
  plain_BGQHK = q_BGWPHK.reshape(b, g, -1, h, k)

  sink_BGHQJ = jnp.einsum(
    "BGQHK,BJHK->BGHQJ",
    band.toward_sink(plain_BGQHK, turned_BGQHK),
    band.rotated_sink(sink_k_BJHK),
  )
  band_BGHQR = jnp.einsum("BGQHK,BGRHK->BGHQR", turned_BGQHK, keys_BGRHK)
  mask_GQR = _chunk_mask(g, window, p, m)
  band_BGHQR = jnp.where(mask_GQR[None, :, None], band_BGHQR, _MASKED)
  sink_BGHQJ, band_BGHQR, total_BGHQ = _exponentials(sink_BGHQJ, band_BGHQR)
  out_BGQHK = jnp.einsum("BGHQJ,BJHK->BGQHK", sink_BGHQJ, sink_v_BJHK)
  out_BGQHK += jnp.einsum("BGHQR,BGRHK->BGQHK", band_BGHQR, values_BGRHK)
  out_BGQHK /= jnp.swapaxes(total_BGHQ, 2, 3)[..., None].astype(q_BTPHK.dtype)
  return out_BGQHK.reshape(b, g * window, p, h, k)[:, :t]


def _exponentials(first, second):
  """A softmax over the last axes of both, its division left to the end.

  Joining the two and dividing every weight would be two more passes over the
  largest arrays of the model.

  Returns:
    (exp of the first, exp of the second, their float32 sum).
  """
  dtype = first.dtype
  first, second = first.astype(jnp.float32), second.astype(jnp.float32)
  # A model may have no sink: the first array is empty then.
  top = first.max(axis=-1, initial=_MASKED)
  top = jnp.maximum(top, second.max(axis=-1))
  top = jax.lax.stop_gradient(top)[..., None]
  first, second = jnp.exp(first - top), jnp.exp(second - top)
  total = first.sum(axis=-1) + second.sum(axis=-1)
  return first.astype(dtype), second.astype(dtype), total


def step(q_BPHK, k_BPHK, v_BPHK, cache, count_B, band):
  """One block against the cache.

  Args:
    q_BPHK: the block's queries; k_BPHK, v_BPHK its keys and values.
    cache: LayerCache of the blocks before it.
    count_B: how many blocks each stream has seen before this one.
    band: Band.

  Returns:
    (out_BPHK, the cache with this block in it).
  """
  m, window, n = band.conditions, *cache.k_BWNHK.shape[1:3]
  q_BPHK = q_BPHK / math.sqrt(q_BPHK.shape[-1])
  row_B = jnp.arange(count_B.shape[0])
  slot_B = count_B % window
  cache = cache.replace(
    k_BWNHK=cache.k_BWNHK.at[row_B, slot_B].set(k_BPHK[:, m:]),
    v_BWNHK=cache.v_BWNHK.at[row_B, slot_B].set(v_BPHK[:, m:]),
  )
  age_BW = (count_B[:, None] - jnp.arange(window)[None]) % window
  filled_BW = age_BW <= count_B[:, None]
  place_BW = positions.of_ring(band.positions, count_B, age_BW, window)
  keys_BWNHK = rotate(cache.k_BWNHK, place_BW[:, :, None, None])
  turned_BPHK = rotate(q_BPHK, band.of_blocks(count_B)[:, None, None])

  sink_BHPJ = jnp.einsum(
    "BPHK,BJHK->BHPJ",
    band.toward_sink(q_BPHK, turned_BPHK),
    cache.sink_k_BJHK,
  )
  own_BHPM = jnp.einsum("BPHK,BMHK->BHPM", q_BPHK, k_BPHK[:, :m])
  ring_BHPWN = jnp.einsum("BPHK,BWNHK->BHPWN", q_BPHK, keys_BWNHK)
  ring_BHPWN = jnp.where(filled_BW[:, None, None, :, None], ring_BHPWN, _MASKED)
  ring = ring_BHPWN.reshape(ring_BHPWN.shape[:3] + (window * n,))
  logits = jnp.concatenate([sink_BHPJ, own_BHPM, ring], axis=-1)
  weights = _softmax(logits, v_BPHK.dtype)

  j = sink_BHPJ.shape[-1]
  out_BPHK = jnp.einsum("BHPJ,BJHK->BPHK", weights[..., :j], cache.sink_v_BJHK)
  out_BPHK += jnp.einsum(
    "BHPM,BMHK->BPHK", weights[..., j : j + m], v_BPHK[:, :m]
  )
  weights_BHPWN = weights[..., j + m :].reshape(ring_BHPWN.shape)
  out_BPHK += jnp.einsum("BHPWN,BWNHK->BPHK", weights_BHPWN, cache.v_BWNHK)
  return out_BPHK, cache
