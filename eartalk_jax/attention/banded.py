"""SFA over a clip in chunks of W blocks: cost grows as T. See `attention.sfa`.

The queries of a chunk see the chunk before and their own, under one mask.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, W window, V = W - 1, G chunks, Q queries of a
chunk, R keys of a chunk, S blocks whose frames a chunk sees, H heads, K head
width.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.attention.positions import rotate
from eartalk_jax.attention.sfa import MASKED, visible


def _chunk_blocks(window, alone):
  """Blocks whose frames a chunk's queries may see, [S].

  Counted from the start of the chunk before, so positions stay small however
  long the clip is. A chunk that is alone has none before: S is W, else 2W.
  """
  return np.arange(window if alone else 0, 2 * window)


def _chunk_keys(x_BGWPHK, before_BVNHK, m):
  """Keys (or values) that a chunk's queries may see, [B G R H K].

  R = S*N + W*M: frame tokens of the chunk before, if there is any, and of the
  chunk itself, then the chunk's condition tokens.
  """
  b, g, _, _, h, k = x_BGWPHK.shape
  frames_BGWNHK = x_BGWPHK[..., m:, :, :]
  parts = [frames_BGWNHK, x_BGWPHK[..., :m, :, :]]
  if before_BVNHK is not None:
    # Nobody sees the oldest block of the chunk before.
    first_BWNHK = jnp.pad(before_BVNHK, ((0, 0), (1, 0)) + ((0, 0),) * 3)
    earlier = [first_BWNHK[:, None], frames_BGWNHK[:, :-1]]
    parts.insert(0, jnp.concatenate(earlier, axis=1))
  elif g > 1:
    first = ((0, 0), (1, 0)) + ((0, 0),) * 4
    parts.insert(0, jnp.pad(frames_BGWNHK[:, :-1], first))
  return jnp.concatenate([x.reshape(b, g, -1, h, k) for x in parts], axis=2)


def _chunk_mask(chunks, block_S, begins, window, n, m, tokens):
  """[G Q R] bool over `_chunk_keys`: the band, and own conditions only.

  `begins` says whether the first chunk has none before it, `tokens` how many
  queries a block has.
  """
  query_W = block_S[-window:]
  older_G = (jnp.arange(chunks) > 0) | ~begins
  exists_GS = older_G[:, None] | (block_S >= window)[None]
  band_GWS = visible(query_W, block_S, window)[None] & exists_GS[:, None]
  own_WW = query_W[:, None] == query_W[None, :]
  own_GWW = jnp.broadcast_to(own_WW[None], (chunks, window, window))
  mask_GWR = jnp.concatenate(
    [jnp.repeat(band_GWS, n, axis=2), jnp.repeat(own_GWW, m, axis=2)],
    axis=2,
  )
  return jnp.repeat(mask_GWR, tokens, axis=1)


def _chunk_places(chunks, block_S, band, first_B):
  """Positions of blocks of every chunk, broadcastable to [B G S].

  Relative ones are the same in every chunk, and known before the program runs.
  """
  if band.positions == "relative":
    return block_S[None, None]
  start_G = (jnp.arange(chunks) - 1) * band.window
  start_BG = first_B[:, None] + start_G[None]
  return band.of_blocks(start_BG[..., None] + block_S[None, None])


def banded(
  q_BTPHK,
  k_BTPHK,
  v_BTPHK,
  sink_k_BJHK,
  sink_v_BJHK,
  band,
  first_B,
  before=None,
):
  """See `sfa.dense`; `before` is the clip's Halo, if it is a later part.

  Fewer tokens of a block may ask than may be asked.
  """
  b, t, p, h, k = k_BTPHK.shape
  tokens = q_BTPHK.shape[2]
  m, window = band.conditions, band.window
  n, g = p - m, -(-t // window)
  pad = ((0, 0), (0, g * window - t), (0, 0), (0, 0), (0, 0))
  chunked = (b, g, window, p, h, k)
  q_BGWPHK = jnp.pad(q_BTPHK, pad) / math.sqrt(k)
  q_BGWPHK = q_BGWPHK.reshape(b, g, window, tokens, h, k)
  k_BGWPHK = jnp.pad(k_BTPHK, pad).reshape(chunked)
  v_BGWPHK = jnp.pad(v_BTPHK, pad).reshape(chunked)
  before_k, before_v, begins = None, None, jnp.array(True)
  if before is not None:
    before_k, before_v, begins = before.k_BVNHK, before.v_BVNHK, ~before.exists
  block_S = _chunk_blocks(window, alone=g == 1 and before is None)
  block_W = block_S[-window:]
  block_R = np.concatenate([np.repeat(block_S, n), np.repeat(block_W, m)])
  place_BGR = _chunk_places(g, block_R, band, first_B)
  place_BGW = _chunk_places(g, block_W, band, first_B)
  keys_BGRHK = rotate(_chunk_keys(k_BGWPHK, before_k, m), place_BGR[..., None])
  values_BGRHK = _chunk_keys(v_BGWPHK, before_v, m)
  turned_BGWPHK = rotate(q_BGWPHK, place_BGW[..., None, None])
  turned_BGQHK = turned_BGWPHK.reshape(b, g, -1, h, k)
  plain_BGQHK = q_BGWPHK.reshape(b, g, -1, h, k)

  sink_BGHQJ = jnp.einsum(
    "BGQHK,BJHK->BGHQJ",
    band.toward_sink(plain_BGQHK, turned_BGQHK),
    band.rotated_sink(sink_k_BJHK),
  )
  band_BGHQR = jnp.einsum("BGQHK,BGRHK->BGHQR", turned_BGQHK, keys_BGRHK)
  mask_GQR = _chunk_mask(g, block_S, begins, window, n, m, tokens)
  band_BGHQR = jnp.where(mask_GQR[None, :, None], band_BGHQR, MASKED)
  sink_BGHQJ, band_BGHQR, total_BGHQ = _exponentials(sink_BGHQJ, band_BGHQR)
  out_BGQHK = jnp.einsum("BGHQJ,BJHK->BGQHK", sink_BGHQJ, sink_v_BJHK)
  out_BGQHK += jnp.einsum("BGHQR,BGRHK->BGQHK", band_BGHQR, values_BGRHK)
  # Fewer axes first: XLA's CPU backend sums slowly over products of arrays of
  # five axes if one has length 1, as this division's gradient does.
  total_BQH = jnp.swapaxes(total_BGHQ, 2, 3).reshape(b, -1, h)
  out_BQHK = out_BGQHK.reshape(b, -1, h, k)
  out_BQHK /= total_BQH[..., None].astype(q_BTPHK.dtype)
  return out_BQHK.reshape(b, g * window, tokens, h, k)[:, :t]


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
  top = first.max(axis=-1, initial=MASKED)
  top = jnp.maximum(top, second.max(axis=-1))
  top = jax.lax.stop_gradient(top)[..., None]
  first, second = jnp.exp(first - top), jnp.exp(second - top)
  total = first.sum(axis=-1) + second.sum(axis=-1)
  return first.astype(dtype), second.astype(dtype), total
