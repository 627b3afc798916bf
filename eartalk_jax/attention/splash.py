"""SFA over a clip by JAX's block-sparse Pallas kernel, for TPUs.

See `attention.sfa`. The weights of a query never leave the chip: `sfa_banded`
writes them to memory, and a TPU computes several times as fast as it writes.

Queries are the frame tokens, keys [sink | conditions | halo | frame tokens].
The few condition tokens ask through `sfa_banded`.

Relative positions give the sink a distance of its own, which no rotation of
one query expresses. So a query is the pair (plain, rotated), a sink's key
(rotated, 0) and any other key (0, rotated). Up to 64 numbers a head that costs
nothing: the matrix unit is 128 wide.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, W window, V = W - 1, Q queries, R keys, C keys
before those of frames, H heads, K head width.
"""

import concurrent.futures
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention

from eartalk_jax.attention.banded import banded
from eartalk_jax.attention.positions import rotate

# Side of the squares of pairs that the kernel computes or skips as a whole:
# large ones compute more hidden pairs, small ones read keys more often.
_SIDE = 512
_LEAST_SIDE = 128
_NEVER = -(2**30)
# {(rows, columns) of squares: share of them that hold a visible pair}
_busy = {}


def _side(tokens):
  return _SIDE if tokens >= _SIDE else _LEAST_SIDE


def _up(number, multiple):
  return -(-number // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class _Visible(splash_attention.splash_attention_mask.Mask):
  """[Q R] bool: what a query may see, computed for any square of it.

  Attributes:
    blocks, tokens, conditions: T, N and M.
    sink: J.
    halo: blocks of it: W, or 0 for a clip that nothing comes before.
    window: W.
  """

  blocks: int
  tokens: int
  conditions: int
  sink: int
  halo: int
  window: int

  @property
  def query_side(self):
    """Side of the kernel's squares along the queries."""
    return _side(self.blocks * self.tokens)

  @property
  def key_side(self):
    """Side of the kernel's squares along the keys."""
    return _side((self.halo + self.blocks) * self.tokens)

  @property
  def before_frames(self):
    """C, keys of sink and conditions; frames begin at a square's edge."""
    return _up(self.sink + self.blocks * self.conditions, self.key_side)

  @property
  def shape(self):
    """(Q, R), filled up to whole squares."""
    frames = (self.halo + self.blocks) * self.tokens
    keys = self.before_frames + _up(frames, self.key_side)
    return _up(self.blocks * self.tokens, self.query_side), keys

  @functools.cached_property
  def _seen_from(self):
    """(first_R, last_R): the blocks whose queries may see each key."""
    first_R = np.full(self.shape[1], -_NEVER)
    last_R = np.full(self.shape[1], _NEVER)
    sink, c = self.sink, self.before_frames
    first_R[:sink], last_R[:sink] = 0, self.blocks
    own = np.repeat(np.arange(self.blocks), self.conditions)
    place = slice(sink, sink + len(own))
    first_R[place] = last_R[place] = own
    frame = np.repeat(np.arange(-self.halo, self.blocks), self.tokens)
    place = slice(c, c + len(frame))
    first_R[place], last_R[place] = frame, frame + self.window - 1
    return first_R, last_R

  def __getitem__(self, index):
    # Queries that fill up a square see what the last block sees: something.
    block_Q = np.arange(self.shape[0])[index[0]] // self.tokens
    block_Q1 = np.minimum(block_Q, self.blocks - 1)[:, None]
    first_R, last_R = (x[index[1]][None] for x in self._seen_from)
    return (block_Q1 >= first_R) & (block_Q1 <= last_R)


@functools.lru_cache(maxsize=16)
def _kernel(visible, heads, interpret):
  """The attention of `heads` heads under a mask, with its gradient."""
  rows, columns = visible.query_side, visible.key_side
  sizes = splash_attention.BlockSizes(
    block_q=rows,
    block_kv=columns,
    block_q_dkv=rows,
    block_kv_dkv=columns,
    block_q_dq=rows,
    block_kv_dq=columns,
  )

  def make():
    return splash_attention.make_splash_mha(
      splash_attention.MultiHeadMask([visible] * heads),
      block_sizes=sizes,
      head_shards=1,
      q_seq_shards=1,
      interpret=interpret,
    )

  # Its tables belong neither to what is being traced nor to the mesh that is
  # set, which may be one of devices that are not here; a thread knows of none.
  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    kernel = jax.tree.map(np.asarray, thread.submit(make).result())
  tables = (kernel.fwd_mask_info, kernel.dq_mask_info, kernel.dkv_mask_info)
  for table in tables:
    _busy[table.block_mask.shape[-2:]] = (table.block_mask > 0).mean()
  return kernel


def busy_share(grid):
  """Share of a kernel's grid that it does not skip, as known in this process.

  Args:
    grid: of a Pallas call: heads, rows and columns of squares in some order.

  Returns:
    The share of squares that hold a visible pair; 1 for any other kernel.
  """
  for sides, share in _busy.items():
    if len(grid) == 3 and not set(sides) - set(grid):
      return share
  return 1.0


def _keys(sink_BJHK, x_BTPHK, before_BVNHK, visible):
  """Keys (or values) in the order of the mask: [B H R K]."""
  b, _, _, h, k = x_BTPHK.shape
  m, c = visible.conditions, visible.before_frames
  conditions = x_BTPHK[:, :, :m].reshape(b, -1, h, k)
  fill = jnp.zeros((b, c - sink_BJHK.shape[1] - conditions.shape[1], h, k))
  parts = [sink_BJHK, conditions, fill.astype(x_BTPHK.dtype)]
  if before_BVNHK is not None:
    first = ((0, 0), (1, 0)) + ((0, 0),) * 3
    parts.append(jnp.pad(before_BVNHK, first).reshape(b, -1, h, k))
  parts.append(x_BTPHK[:, :, m:].reshape(b, -1, h, k))
  x_BRHK = jnp.concatenate(parts, axis=1)
  missing = visible.shape[1] - x_BRHK.shape[1]
  x_BRHK = jnp.pad(x_BRHK, ((0, 0), (0, missing), (0, 0), (0, 0)))
  return jnp.swapaxes(x_BRHK, 1, 2)


def _pair(x, band, of_sink=False):
  """Keys beside as many zeros, where a query is the pair (plain, rotated)."""
  if band.positions == "cyclic":
    return x
  zero = jnp.zeros_like(x)
  return jnp.concatenate([x, zero] if of_sink else [zero, x], axis=-1)


def _queries(plain_BTNHK, rotated_BTNHK, band, visible):
  """Frame tokens' queries, as wide as the keys, filled up: [B H Q K]."""
  q_BTNHK = rotated_BTNHK
  if band.positions == "relative":
    q_BTNHK = jnp.concatenate([plain_BTNHK, rotated_BTNHK], axis=-1)
  b, t, n, h, k = q_BTNHK.shape
  q_BHQK = jnp.swapaxes(q_BTNHK.reshape(b, t * n, h, k), 1, 2)
  missing = visible.shape[0] - t * n
  return jnp.pad(q_BHQK, ((0, 0), (0, 0), (0, missing), (0, 0)))


def _segments(visible, exists):
  """Of queries and keys: a halo that does not exist is in one of its own."""
  of_halo_R = np.zeros(visible.shape[1], bool)
  c = visible.before_frames
  of_halo_R[c : c + visible.halo * visible.tokens] = True
  hidden_R = jnp.where(of_halo_R & ~exists, 1, 0).astype(jnp.int32)
  return splash_attention.SegmentIds(
    jnp.zeros(visible.shape[0], jnp.int32), hidden_R
  )


def splash(
  q_BTPHK,
  k_BTPHK,
  v_BTPHK,
  sink_k_BJHK,
  sink_v_BJHK,
  band,
  first_B,
  before=None,
  interpret=False,
):
  """See `sfa.dense`; `before` is the clip's Halo, if it is a later part.

  `interpret` runs the kernel on a CPU, slowly.
  """
  b, t, p, h, k = q_BTPHK.shape
  m, w = band.conditions, band.window
  halo = 0 if before is None else w
  visible = _Visible(t, p - m, m, sink_k_BJHK.shape[1], halo, w)

  def placed(x_BTPHK, block_T):
    place_BT = band.of_blocks(first_B[:, None] + block_T[None])
    return rotate(x_BTPHK, place_BT[..., None, None])

  plain_BTNHK = q_BTPHK[:, :, m:] / math.sqrt(k)
  rotated_BTNHK = placed(plain_BTNHK, jnp.arange(t))
  past_k = past_v = segments = None
  if before is not None:
    past_k = _pair(placed(before.k_BVNHK, jnp.arange(1 - w, 0)), band)
    past_v = before.v_BVNHK
    segments = _segments(visible, before.exists)
  sink_k = _pair(band.rotated_sink(sink_k_BJHK), band, of_sink=True)
  own_k = _pair(placed(k_BTPHK, jnp.arange(t)), band)
  kernel = _kernel(visible, h, interpret)
  attended_BHQK = jax.vmap(functools.partial(kernel, segment_ids=segments))(
    _queries(plain_BTNHK, rotated_BTNHK, band, visible),
    _keys(sink_k, own_k, past_k, visible),
    _keys(sink_v_BJHK, v_BTPHK, past_v, visible),
  )
  frames_BQHK = jnp.swapaxes(attended_BHQK[:, :, : t * (p - m)], 1, 2)
  conditions_BTMHK = banded(
    q_BTPHK[:, :, :m],
    k_BTPHK,
    v_BTPHK,
    sink_k_BJHK,
    sink_v_BJHK,
    band,
    first_B,
    before,
  )
  return jnp.concatenate(
    [conditions_BTMHK, frames_BQHK.reshape(b, t, p - m, h, k)], axis=2
  )
