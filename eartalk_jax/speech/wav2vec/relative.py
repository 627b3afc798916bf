"""How far a vector is from another, as WavLM's attention is told.

After Chen et al., "WavLM: Large-Scale Self-Supervised Pre-Training for Full
Stack Speech Processing" (arXiv 2110.13900): a learned number for each distance,
weighted by two gates that depend on what looks.

Dimension key: B windows, H heads, K head width, N vectors that look, M those
that are looked at.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def buckets_NM(count, buckets, furthest):
  """Number of the bucket that a distance falls into, of `count` vectors.

  One half is for what comes later. Of a half the first half has one distance
  each, the others grow with its logarithm; the last has all from `furthest`.
  """
  place_N = np.arange(count)
  offset_NM = place_N[None] - place_N[:, None]
  half, exact = buckets // 2, buckets // 4
  distance_NM = np.abs(offset_NM)
  # In float32, as the original: an edge must fall on the same side.
  far_NM = np.maximum(distance_NM, 1).astype(np.float32) / np.float32(exact)
  far_NM = np.log(far_NM) / np.float32(math.log(furthest / exact))
  far_NM = (exact + far_NM * np.float32(half - exact)).astype(int)
  within_NM = np.where(
    distance_NM < exact, distance_NM, np.minimum(far_NM, half - 1)
  )
  return within_NM + np.where(offset_NM > 0, half, 0)


def gated(gates_BNH8, constant_1H11, table_HNM):
  """What is added to the scores, [B H N M].

  Args:
    gates_BNH8: of those that look, for each head.
    constant_1H11: for each head.
    table_HNM: the learned numbers.
  """
  sums_BNH2 = gates_BNH8.reshape(*gates_BNH8.shape[:-1], 2, 4).sum(-1)
  gate_BHN2 = jnp.swapaxes(jax.nn.sigmoid(sums_BNH2), 1, 2)
  first_BHN1, second_BHN1 = jnp.split(gate_BHN2, 2, axis=-1)
  factor_BHN1 = first_BHN1 * (second_BHN1 * constant_1H11 - 1) + 2
  return factor_BHN1 * table_HNM[None]


class Table(nn.Module):
  """The learned numbers: of `count` vectors, [H N M].

  Attributes:
    heads: H.
    buckets, furthest: see `buckets_NM`.
  """

  heads: int
  buckets: int
  furthest: int

  @nn.compact
  def __call__(self, count):
    shape = self.buckets, self.heads
    weight = self.param("weight", nn.initializers.normal(), shape)
    where_NM = buckets_NM(count, self.buckets, self.furthest)
    return jnp.moveaxis(weight[where_NM], -1, 0)
