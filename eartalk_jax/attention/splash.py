"""SFA over a clip by JAX's block-sparse Pallas kernel, for TPUs.

See `attention.sfa`. The weights of a query never leave the chip: `banded`
writes them to memory, and a TPU computes several times as fast as it writes.

Queries are the frame tokens, keys [sink | conditions | frame tokens, those of
halos around the clip's]. The few condition tokens ask through `banded`.

Relative positions give the sink a distance of its own, which no rotation of
one query expresses. So a query is the pair (plain, rotated), a sink's key
(rotated, 0) and any other key (0, rotated). Up to 64 numbers a head that costs
nothing: the matrix unit is 128 wide.

Dimension key: B batch, T blocks, P tokens in a block, M condition tokens,
N frame tokens, J sink tokens, V blocks of a halo, Q queries, R keys, C keys
before those of frames, H heads, K head width.
"""

import collections
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
from eartalk_jax.attention.visibility import Visibility

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
    early, late: blocks of the halos before and after the clip.
    view: Visibility.
  """

  blocks: int
  tokens: int
  conditions: int
  sink: int
  early: int
  late: int
  view: Visibility

  @property
  def frames(self):
    """Numbers of the blocks whose frames are keys."""
    return np.arange(-self.early, self.blocks + self.late)

  @property
  def query_side(self):
    """Side of the kernel's squares along the queries."""
    return _side(self.blocks * self.tokens)

  @property
  def key_side(self):
    """Side of the kernel's squares along the keys."""
    return _side(len(self.frames) * self.tokens)

  @property
  def before_frames(self):
    """C, keys of sink and conditions; frames begin at a square's edge."""
    return _up(self.sink + self.blocks * self.conditions, self.key_side)

  @property
  def shape(self):
    """(Q, R), filled up to whole squares."""
    frames = len(self.frames) * self.tokens
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
    # Whoever may see a block: neighbours, so the first and the last say it.
    query_Q = np.arange(-self.early, self.blocks + self.late)
    seen_QR = self.view.visible(query_Q, self.frames)
    first, last = (
      query_Q[seen_QR.argmax(0)],
      query_Q[::-1][seen_QR[::-1].argmax(0)],
    )
    place = slice(c, c + len(self.frames) * self.tokens)
    first_R[place] = np.repeat(first, self.tokens)
    last_R[place] = np.repeat(last, self.tokens)
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
  given = collections.Counter(grid)
  found = [
    (math.prod(sides), share)
    for sides, share in _busy.items()
    if len(grid) == 3 and collections.Counter(sides) <= given
  ]
  # What fits only because there is one head fits with fewer squares.
  return max(found)[1] if found else 1.0


def _keys(sink_BJHK, x_BTPHK, early_BVNHK, late_BVNHK, visible):
  """Keys (or values) in the order of the mask: [B H R K]."""
  b, _, _, h, k = x_BTPHK.shape
  m, c = visible.conditions, visible.before_frames
  conditions = x_BTPHK[:, :, :m].reshape(b, -1, h, k)
  fill = jnp.zeros((b, c - sink_BJHK.shape[1] - conditions.shape[1], h, k))
  parts = [sink_BJHK, conditions, fill.astype(x_BTPHK.dtype)]
  for x in (early_BVNHK, x_BTPHK[:, :, m:], late_BVNHK):
    if x is not None:
      parts.append(x.reshape(b, -1, h, k))
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


def _segments(visible, before, after):
  """Of queries and keys: halos that do not exist are in one of their own."""
  frame = np.repeat(visible.frames, visible.tokens)
  place_R = np.full(visible.shape[1], 0)
  c = visible.before_frames
  place_R[c : c + len(frame)] = frame
  hidden_R = jnp.zeros(visible.shape[1], bool)
  if before is not None:
    hidden_R |= (place_R < 0) & ~before.exists
  if after is not None:
    hidden_R |= (place_R >= visible.blocks) & ~after.exists
  return splash_attention.SegmentIds(
    jnp.zeros(visible.shape[0], jnp.int32), hidden_R.astype(jnp.int32)
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
  after=None,
  interpret=False,
):
  """See `sfa.dense`; before and after are Halos of a clip that is a part.

  `interpret` runs the kernel on a CPU, slowly.
  """
  b, t, p, h, k = q_BTPHK.shape
  m, view = band.conditions, band.view
  early, late = (x and x.k_BVNHK.shape[1] for x in (before, after))
  visible = _Visible(
    t, p - m, m, sink_k_BJHK.shape[1], early or 0, late or 0, view
  )

  def placed(x_BTPHK, block_T):
    place_BT = band.of_blocks(first_B[:, None] + block_T[None])
    return rotate(x_BTPHK, place_BT[..., None, None])

  plain_BTNHK = q_BTPHK[:, :, m:] / math.sqrt(k)
  rotated_BTNHK = placed(plain_BTNHK, jnp.arange(t))
  early_k = early_v = late_k = late_v = segments = None
  if before is not None:
    early_k = _pair(placed(before.k_BVNHK, jnp.arange(-early, 0)), band)
    early_v = before.v_BVNHK
  if after is not None:
    late_k = _pair(placed(after.k_BVNHK, jnp.arange(t, t + late)), band)
    late_v = after.v_BVNHK
  if early or late:
    segments = _segments(visible, before, after)
  sink_k = _pair(band.rotated_sink(sink_k_BJHK), band, of_sink=True)
  own_k = _pair(placed(k_BTPHK, jnp.arange(t)), band)
  kernel = _kernel(visible, h, interpret)
  attended_BHQK = jax.vmap(functools.partial(kernel, segment_ids=segments))(
    _queries(plain_BTNHK, rotated_BTNHK, band, visible),
    _keys(sink_k, own_k, early_k, late_k, visible),
    _keys(sink_v_BJHK, v_BTPHK, early_v, late_v, visible),
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
    after,
  )
  return jnp.concatenate(
    [conditions_BTMHK, frames_BQHK.reshape(b, t, p - m, h, k)], axis=2
  )
