"""SFA over a clip in chunks of blocks: cost grows as T. See `attention.sfa`.

A chunk is a block longer than a query may see on either side. So the queries of
a chunk see the chunk before, their own and, if they may look ahead, the next
one, under one mask.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, V blocks of a halo, G chunks, W blocks of a
chunk, Q queries of a chunk, R keys of a chunk, S blocks whose frames a chunk
sees, H heads, K head width.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.attention.positions import rotate
from eartalk_jax.attention.sfa import MASKED


def _chunk_keys(x_BGWPHK, before_BVNHK, after_BTNHK, m):
  """Keys (or values) that a chunk's queries may see, [B G R H K].

  R = S*N + W*M: frame tokens of the chunk before, if there is any, of the chunk
  itself, of the one after, if it is seen, then the chunk's condition tokens.
  """
  b, g, _, _, h, k = x_BGWPHK.shape
  frames_BGWNHK = x_BGWPHK[..., m:, :, :]
  parts = [frames_BGWNHK]
  if before_BVNHK is not None:
    # Nobody sees the oldest blocks of the chunk before.
    missing = frames_BGWNHK.shape[2] - before_BVNHK.shape[1]
    first_BWNHK = jnp.pad(before_BVNHK, ((0, 0), (missing, 0)) + ((0, 0),) * 3)
    earlier = [first_BWNHK[:, None], frames_BGWNHK[:, :-1]]
    parts.insert(0, jnp.concatenate(earlier, axis=1))
  elif g > 1:
    first = ((0, 0), (1, 0)) + ((0, 0),) * 4
    parts.insert(0, jnp.pad(frames_BGWNHK[:, :-1], first))
  if after_BTNHK is not None:
    parts.append(after_BTNHK.reshape(frames_BGWNHK.shape))
  parts.append(x_BGWPHK[..., :m, :, :])
  return jnp.concatenate([x.reshape(b, g, -1, h, k) for x in parts], axis=2)


def _next_chunks(x_BTPHK, halo_BVNHK, m, chunk, chunks):
  """Frame tokens from the second chunk on to one beyond the last: [B G*W ...].

  What comes after the clip follows at once.
  """
  frames_BTNHK = x_BTPHK[:, :, m:]
  if halo_BVNHK is not None:
    frames_BTNHK = jnp.concatenate([frames_BTNHK, halo_BVNHK], axis=1)
  missing = (chunks + 1) * chunk - frames_BTNHK.shape[1]
  filled = jnp.pad(frames_BTNHK, ((0, 0), (0, missing)) + ((0, 0),) * 3)
  return filled[:, chunk:]


def _own_chunks(x_BTPHK, halo_BVNHK, m, chunk, chunks):
  """The clip's blocks in chunks; what comes after it fills up the last one."""
  b, t, p, h, k = x_BTPHK.shape
  missing = chunks * chunk - t
  if halo_BVNHK is not None and missing:
    filling = halo_BVNHK[:, :missing]
    conditions = ((0, 0), (0, 0), (m, 0), (0, 0), (0, 0))
    x_BTPHK = jnp.concatenate([x_BTPHK, jnp.pad(filling, conditions)], axis=1)
    missing = chunks * chunk - x_BTPHK.shape[1]
  x_BTPHK = jnp.pad(x_BTPHK, ((0, 0), (0, missing)) + ((0, 0),) * 3)
  return x_BTPHK.reshape(b, chunks, chunk, p, h, k)


def _chunk_mask(view, block_GS, block_GW, exists_GS, counts):
  """[G Q R] bool over `_chunk_keys`: who sees whom, and own conditions only.

  Args:
    view: Visibility.
    block_GS, block_GW: numbers of the blocks that are asked and that ask.
    exists_GS: which of the former there are.
    counts: (N, M, tokens of a block that ask).
  """
  n, m, tokens = counts
  seen_GWS = view.visible(block_GW, block_GS) & exists_GS[:, None]
  own_GWW = block_GW[:, :, None] == block_GW[:, None, :]
  mask_GWR = jnp.concatenate(
    [jnp.repeat(seen_GWS, n, axis=2), jnp.repeat(own_GWW, m, axis=2)], axis=2
  )
  return jnp.repeat(mask_GWR, tokens, axis=1)


def _chunk_places(chunks, chunk, block_S, band, first_B):
  """Positions of blocks of every chunk, broadcastable to [B G S].

  Blocks are counted from the start of the chunk before, so positions stay small
  however long the clip is. Relative ones are the same in every chunk, and known
  before the program runs.
  """
  if band.positions == "relative":
    return block_S[None, None]
  start_G = (jnp.arange(chunks) - 1) * chunk
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
  after=None,
):
  """See `sfa.dense`; before and after are Halos of a clip that is a part.

  Fewer tokens of a block may ask than may be asked.
  """
  b, t, p, h, k = k_BTPHK.shape
  tokens = q_BTPHK.shape[2]
  m, view = band.conditions, band.view
  c = max(view.before, view.after) + 1
  n, g = p - m, -(-t // c)
  early, late = _halves(before), _halves(after)
  q_BGWPHK = _own_chunks(q_BTPHK / math.sqrt(k), None, m, c, g)
  ahead = view.after and (g > 1 or after is not None)
  k_BGRHK, v_BGRHK = (
    _chunk_keys(
      _own_chunks(x_BTPHK, late_BVNHK, m, c, g),
      early_BVNHK,
      _next_chunks(x_BTPHK, late_BVNHK, m, c, g) if ahead else None,
      m,
    )
    for x_BTPHK, early_BVNHK, late_BVNHK in zip(
      (k_BTPHK, v_BTPHK), early, late, strict=True
    )
  )
  alone = g == 1 and before is None
  block_S = np.arange(c if alone else 0, 3 * c if ahead else 2 * c)
  block_W = np.arange(c, 2 * c)
  block_R = np.concatenate([np.repeat(block_S, n), np.repeat(block_W, m)])
  place_BGR = _chunk_places(g, c, block_R, band, first_B)
  place_BGW = _chunk_places(g, c, block_W, band, first_B)
  keys_BGRHK = rotate(k_BGRHK, place_BGR[..., None])
  turned_BGWPHK = rotate(q_BGWPHK, place_BGW[..., None, None])
  turned_BGQHK = turned_BGWPHK.reshape(b, g, -1, h, k)
  plain_BGQHK = q_BGWPHK.reshape(b, g, -1, h, k)

  sink_BGHQJ = jnp.einsum(
    "BGQHK,BJHK->BGHQJ",
    band.toward_sink(plain_BGQHK, turned_BGQHK),
    band.rotated_sink(sink_k_BJHK),
  )
  band_BGHQR = jnp.einsum("BGQHK,BGRHK->BGHQR", turned_BGQHK, keys_BGRHK)
  start_G1 = (np.arange(g)[:, None] - 1) * c
  block_GS, block_GW = start_G1 + block_S, start_G1 + block_W
  exists_GS = _exists(block_GS, t, before, after)
  mask_GQR = _chunk_mask(view, block_GS, block_GW, exists_GS, (n, m, tokens))
  band_BGHQR = jnp.where(mask_GQR[None, :, None], band_BGHQR, MASKED)
  sink_BGHQJ, band_BGHQR, total_BGHQ = _exponentials(sink_BGHQJ, band_BGHQR)
  out_BGQHK = jnp.einsum("BGHQJ,BJHK->BGQHK", sink_BGHQJ, sink_v_BJHK)
  out_BGQHK += jnp.einsum("BGHQR,BGRHK->BGQHK", band_BGHQR, v_BGRHK)
  # Fewer axes first: XLA's CPU backend sums slowly over products of arrays of
  # five axes if one has length 1, as this division's gradient does.
  total_BQH = jnp.swapaxes(total_BGHQ, 2, 3).reshape(b, -1, h)
  out_BQHK = out_BGQHK.reshape(b, -1, h, k)
  out_BQHK /= total_BQH[..., None].astype(q_BTPHK.dtype)
  return out_BQHK.reshape(b, g * c, tokens, h, k)[:, :t]


def _halves(halo):
  """Its keys and its values; of none, neither."""
  return (None, None) if halo is None else (halo.k_BVNHK, halo.v_BVNHK)


def _exists(block_GS, blocks, before, after):
  """Which blocks there are: the clip's own, and those of halos that exist."""
  exists_GS = block_GS >= 0
  if before is not None:
    exists_GS = exists_GS | before.exists
  of_clip_GS = block_GS < blocks
  if after is not None:
    of_clip_GS = of_clip_GS | after.exists
  return exists_GS & of_clip_GS


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
