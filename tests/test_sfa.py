"""SFA: what a query sees, and that its forms are one function."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eartalk_jax.attention import banded as sfa_banded
from eartalk_jax.attention import positions, sfa
from eartalk_jax.attention import splash as sfa_splash
from eartalk_jax.attention.step import LayerCache, step
from eartalk_jax.attention.visibility import Around, Causal, Chunks

B, M, N, J, H, K, W = 2, 2, 3, 5, 2, 8, 4
P = M + N
BANDS = [sfa.Band(Causal(W), M, kind) for kind in positions.KINDS]
FIRST_B = jnp.array([0, 3])
dense = jax.jit(sfa.dense, static_argnums=5)
banded = jax.jit(sfa_banded.banded, static_argnums=5)
both = pytest.mark.parametrize("band", BANDS, ids=positions.KINDS)


def _inputs(frames, seed=0):
  rng = np.random.default_rng(seed)
  shapes = [(B, frames, P, H, K)] * 3 + [(B, J, H, K)] * 2
  return [np.float32(rng.normal(size=shape)) for shape in shapes]


def _stream(q, k, v, sink_k, sink_v, band, first_count=0):
  cache = LayerCache.empty(sink_k, sink_v, N, band)
  one = jax.jit(functools.partial(step, band=band))
  out = []
  for i in range(q.shape[1]):
    count_B = jnp.full((B,), first_count + i)
    out_BPHK, cache = one(q[:, i], k[:, i], v[:, i], cache, count_B)
    out.append(out_BPHK)
  return jnp.stack(out, axis=1)


DRAWN = {
  Causal(3): """
    1.....
    11....
    111...
    .111..
    ..111.
    ...111
  """,
  Around(1): """
    11....
    111...
    .111..
    ..111.
    ...111
    ....11
  """,
  Chunks(2, 0): """
    11....
    11....
    ..11..
    ..11..
    ....11
    ....11
  """,
  Chunks(2, 1): """
    11....
    11....
    1111..
    1111..
    ..1111
    ..1111
  """,
}


@pytest.mark.parametrize("view", DRAWN, ids=str)
def test_who_sees_whom_is_as_drawn_by_hand(view):
  rows = DRAWN[view].split()
  drawn_TT = np.array([[cell == "1" for cell in row] for row in rows])
  block_T = np.arange(6)
  np.testing.assert_array_equal(view.visible(block_T, block_T), drawn_TT)
  away = block_T[None] - block_T[:, None]
  assert away[drawn_TT].min() == -view.before
  assert away[drawn_TT].max() == view.after
  moved_T = block_T + 3 * view.period
  np.testing.assert_array_equal(view.visible(moved_T, moved_T), drawn_TT)


VIEWS = [Around(2), Chunks(3, 1), Chunks(2, 0)]


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("frames", [1, 6, 11])
def test_every_view_has_a_form_whose_cost_grows_with_the_clip(view, frames):
  for kind in positions.KINDS:
    inputs = *_inputs(frames), sfa.Band(view, M, kind), FIRST_B
    np.testing.assert_allclose(banded(*inputs), dense(*inputs), atol=2e-6)


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("form", ["banded", "splash"])
def test_a_part_of_a_clip_needs_only_its_halos(view, form):
  band = sfa.Band(view, M)
  begin, end, frames = 6, 12, 18
  q, k, v, *sinks = _inputs(frames)
  whole = dense(q, k, v, *sinks, band, FIRST_B)

  def halo(first, last, exists=True):
    part = slice(first, last)
    return sfa.Halo(k[:, part, M:], v[:, part, M:], jnp.array(exists))

  def part(first, last, before, after):
    clip = [x[:, first:last] for x in (q, k, v)]
    given = *clip, *sinks, band, FIRST_B + first, before, after
    if form == "banded":
      return banded(*given)
    return sfa_splash.splash(*given, interpret=True)

  before, after = halo(begin - view.before, begin), halo(end, end + view.after)
  middle = part(begin, end, before, after if view.after else None)
  np.testing.assert_allclose(middle, whole[:, begin:end], atol=5e-6)
  # Those that do not exist are not seen, whatever is in them.
  none = halo(0, view.before, False), halo(0, view.after, False)
  np.testing.assert_allclose(part(0, frames, *none), whole, atol=5e-6)


@both
def test_dense_agrees_with_loops_over_what_a_query_may_see(band):
  q, k, v, sink_k, sink_v = _inputs(frames=6)
  got = dense(q, k, v, sink_k, sink_v, band, FIRST_B)
  b, head = 1, 1

  def distance(i, j):
    if band.positions == "relative":
      return i - j
    return (i + FIRST_B[b]) % (W + 1) - (j + FIRST_B[b]) % (W + 1)

  for i in range(6):
    # Relative: one beyond the window. Cyclic: the sink sits at W + 1.
    to_sink = W + 1
    if band.positions == "cyclic":
      to_sink = (i + FIRST_B[b]) % (W + 1) - (W + 1)
    for p in range(P):
      keys = [
        (sink_k[b, n, head], to_sink, sink_v[b, n, head]) for n in range(J)
      ]
      for m in range(M):
        keys.append((k[b, i, m, head], 0, v[b, i, m, head]))
      for j in range(max(0, i - W + 1), i + 1):
        for n in range(M, P):
          keys.append((k[b, j, n, head], distance(i, j), v[b, j, n, head]))
      logits = np.array(
        [
          float(q[b, i, p, head] @ positions.rotate(key, -float(age)))
          for key, age, _ in keys
        ]
      )
      logits /= np.sqrt(K)
      weights = np.exp(logits - logits.max())
      weights /= weights.sum()
      want = sum(
        w * value for w, (_, _, value) in zip(weights, keys, strict=True)
      )
      np.testing.assert_allclose(got[b, i, p, head], want, atol=1e-5)


@both
@pytest.mark.parametrize("frames", [1, 3, 4, 5, 8, 13])
def test_banded_equals_dense_for_any_length(band, frames):
  inputs = *_inputs(frames), band, FIRST_B
  np.testing.assert_allclose(banded(*inputs), dense(*inputs), atol=2e-6)


@both
@pytest.mark.parametrize("begin", [3, 4, 9])
def test_the_later_part_of_a_clip_needs_only_a_halo(band, begin):
  q, k, v, *sinks = _inputs(frames=13)
  whole = dense(q, k, v, *sinks, band, FIRST_B)
  first = slice(begin - W + 1, begin)
  halo = sfa.Halo(k[:, first, M:], v[:, first, M:], jnp.array(True))
  part = [x[:, begin:] for x in (q, k, v)]
  later = banded(*part, *sinks, band, FIRST_B + begin, halo)
  np.testing.assert_allclose(later, whole[:, begin:], atol=2e-6)
  # One that does not exist is not seen, whatever is in it.
  none = halo.replace(exists=jnp.array(False))
  np.testing.assert_allclose(
    banded(q, k, v, *sinks, band, FIRST_B, none), whole, atol=2e-6
  )


@pytest.mark.parametrize(
  ("kind", "begin"),
  [("relative", 4), ("relative", None), ("cyclic", 4), ("cyclic", 0)],
)
def test_the_pallas_kernel_and_its_gradient_equal_the_definition(kind, begin):
  """`begin`: where a later part begins; None has no halo, 0 an empty one."""
  band = sfa.Band(Causal(3), M, kind)
  keys = jax.random.split(jax.random.key(0), 5)
  # Frames do not fill the kernel's squares.
  clip = [jax.random.normal(i, (B, 6, M + 70, 1, K)) for i in keys[:3]]
  sinks = [jax.random.normal(i, (B, J, 1, K)) for i in keys[3:]]
  start = begin or 0

  def whole(q, k, v, *sinks):
    return dense(q, k, v, *sinks, band, FIRST_B)[:, start:]

  def kernel(q, k, v, *sinks):
    halo = None
    if begin is not None:
      before = slice(max(start - 2, 0), max(start, 2))
      halo = [x[:, before, M:] for x in (k, v)]
      halo = sfa.Halo(*halo, exists=jnp.array(begin > 0))
    part = [x[:, start:] for x in (q, k, v)]
    return sfa_splash.splash(
      *part, *sinks, band, FIRST_B + start, halo, interpret=True
    )

  def of(form):
    def total(*arrays):
      out_BTPHK = form(*arrays)
      return jnp.sum(jnp.sin(out_BTPHK)), out_BTPHK

    gradient = jax.value_and_grad(total, argnums=range(5), has_aux=True)
    (_, out_BTPHK), grads = jax.jit(gradient)(*clip, *sinks)
    return out_BTPHK, grads

  got, want = of(kernel), of(whole)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(a, b, atol=5e-5)


def test_the_kernel_is_known_to_skip_squares_without_a_visible_pair():
  visible = sfa_splash._Visible(12, 64, M, J, 0, 0, Causal(3))
  sfa_splash._kernel(visible, 1, True)
  side, squares = 512, []
  for i in range(0, visible.shape[0], side):
    rows = visible[i : i + side, :]
    squares.append(rows.reshape(len(rows), -1, side).any((0, 2)))
  busy = np.array(squares)
  assert busy.sum() < busy.size
  widest = busy.sum(axis=1).max()
  share = busy.sum() / (len(busy) * widest)
  assert sfa_splash.busy_share((1, len(busy), widest)) == share
  assert sfa_splash.busy_share((77,)) == 1


@both
def test_streaming_equals_dense_through_three_wraps_of_the_ring(band):
  inputs = *_inputs(frames=3 * W + 2), band
  whole = dense(*inputs, jnp.zeros(B, int))
  np.testing.assert_allclose(_stream(*inputs), whole, atol=2e-6)


@both
def test_a_stream_of_a_million_frames_is_computed_as_a_young_one(band):
  inputs = *_inputs(frames=2 * W), band
  cycle = W * (W + 1)
  young = _stream(*inputs, first_count=cycle * 200)
  old = _stream(*inputs, first_count=cycle * 50_000)
  np.testing.assert_array_equal(young, old)


@both
def test_a_model_may_have_no_sink(band):
  q, k, v, sink_k, sink_v = _inputs(frames=6)
  none = q, k, v, sink_k[:, :0], sink_v[:, :0], band
  whole = dense(*none, jnp.zeros(B, int))
  chunked = banded(*none, jnp.zeros(B, int))
  np.testing.assert_allclose(chunked, whole, atol=2e-6)
  np.testing.assert_allclose(_stream(*none), whole, atol=2e-6)


def test_where_a_clip_begins_matters_to_cyclic_positions_only():
  inputs = _inputs(frames=6)
  for band in BANDS:
    one, other = (banded(*inputs, band, jnp.full(B, first)) for first in (0, 1))
    assert jnp.all(one == other) == (band.positions == "relative")
    again = banded(*inputs, band, jnp.full(B, W + 1))
    np.testing.assert_array_equal(one, again)


def test_rotated_products_depend_on_distance_only():
  q_K, k_K = jax.random.normal(jax.random.key(0), (2, K))

  def product(query_at, key_at):
    return positions.rotate(q_K, query_at) @ positions.rotate(k_K, key_at)

  np.testing.assert_allclose(product(5.0, 2.0), product(9.0, 6.0), rtol=1e-4)
  assert abs(product(5.0, 2.0) - product(5.0, 3.0)) > 1e-3


def test_banded_cost_grows_with_length_not_with_its_square():
  def flops(frames):
    lowered = banded.lower(*_inputs(frames), BANDS[0], FIRST_B)
    return lowered.compile().cost_analysis()["flops"]

  assert flops(32 * W) < 2.1 * flops(16 * W)
