"""SFA for streams: one block against a ring cache. See `attention.sfa`.

Dimension key: B streams, P tokens in a block, M condition tokens, N frame
tokens, J sink tokens, W window, H heads, K head width.
"""

import math

import flax.struct
import jax
import jax.numpy as jnp

from eartalk_jax.attention.positions import rotate
from eartalk_jax.attention.sfa import MASKED, softmax


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
    ring = (b, band.view.before + 1, tokens, h, k)
    return cls(
      k_BWNHK=jnp.zeros(ring, sink_k_BJHK.dtype),
      v_BWNHK=jnp.zeros(ring, sink_v_BJHK.dtype),
      sink_k_BJHK=band.rotated_sink(sink_k_BJHK),
      sink_v_BJHK=sink_v_BJHK,
    )


def step(q_BPHK, k_BPHK, v_BPHK, cache, count_B, band):
  """One block against the cache; its Visibility looks at no later block.

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
  seen_BW = age_BW <= count_B[:, None]
  seen_B1W = band.view.visible(count_B[:, None], count_B[:, None] - age_BW)
  seen_BW &= seen_B1W[:, 0]
  place_BW = band.of_ring(count_B, age_BW)
  keys_BWNHK = rotate(cache.k_BWNHK, place_BW[:, :, None, None])
  turned_BPHK = rotate(q_BPHK, band.of_blocks(count_B)[:, None, None])

  sink_BHPJ = jnp.einsum(
    "BPHK,BJHK->BHPJ",
    band.toward_sink(q_BPHK, turned_BPHK),
    cache.sink_k_BJHK,
  )
  own_BHPM = jnp.einsum("BPHK,BMHK->BHPM", q_BPHK, k_BPHK[:, :m])
  ring_BHPWN = jnp.einsum("BPHK,BWNHK->BHPWN", q_BPHK, keys_BWNHK)
  ring_BHPWN = jnp.where(seen_BW[:, None, None, :, None], ring_BHPWN, MASKED)
  ring = ring_BHPWN.reshape(ring_BHPWN.shape[:3] + (window * n,))
  logits = jnp.concatenate([sink_BHPJ, own_BHPM, ring], axis=-1)
  weights = softmax(logits, v_BPHK.dtype)

  j = sink_BHPJ.shape[-1]
  out_BPHK = jnp.einsum("BHPJ,BJHK->BPHK", weights[..., :j], cache.sink_v_BJHK)
  out_BPHK += jnp.einsum(
    "BHPM,BMHK->BPHK", weights[..., j : j + m], v_BPHK[:, :m]
  )
  weights_BHPWN = weights[..., j + m :].reshape(ring_BHPWN.shape)
  out_BPHK += jnp.einsum("BHPWN,BWNHK->BPHK", weights_BHPWN, cache.v_BWNHK)
  return out_BPHK, cache
