"""Both heads by one protocol; the masked head's sets and masks."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import talkers

from eartalk_jax import heads
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.denoising.guidance import NO_GUIDANCE, Guidance
from eartalk_jax.errors import UserError
from eartalk_jax.heads import masked
from eartalk_jax.models.config import TalkerConfig

ROWS = 3


@pytest.fixture(params=talkers.HEADS, scope="module")
def setup(request):
  """(config, net, features of ROWS frames, deviations of as many)."""
  model, params = talkers.talker(head=talkers.HEADS[request.param])
  cfg = model.cfg
  net = model.bind({"params": params}).head
  key_h, key_guess, key_x = jax.random.split(jax.random.key(0), 3)
  shape = (ROWS, cfg.tokens, cfg.token_width)
  h_BND = jax.random.normal(key_h, (*shape[:2], cfg.width))
  guess_BNc = jax.random.normal(key_guess, shape)
  return cfg.head, net, (h_BND, guess_BNc), jax.random.normal(key_x, shape)


def _keys(*seeds):
  return jax.vmap(jax.random.key)(jnp.asarray(seeds))


def test_a_frames_loss_knows_no_other_frame(setup):
  cfg, net, features, target_BNc = setup

  def second(features, target_BNc):
    return heads.of(cfg).loss(
      cfg, net, target_BNc, features, jax.random.key(1)
    )[1]

  grads = jax.jit(jax.grad(second, argnums=(0, 1)))(features, target_BNc)
  for grad in jax.tree.leaves(grads):
    assert jnp.all(grad[0] == 0) and jnp.all(grad[2] == 0)
    assert jnp.any(grad[1] != 0)


def test_a_streams_frame_knows_no_other_stream(setup):
  cfg, net, features, _ = setup
  together = heads.of(cfg).sample(
    cfg, net, features, _keys(5, 6, 7), NO_GUIDANCE
  )
  alone = heads.of(cfg).sample(
    cfg,
    net,
    jax.tree.map(lambda x: x[1:2], features),
    _keys(6),
    NO_GUIDANCE,
  )
  np.testing.assert_allclose(alone[0], together[1], rtol=1e-6, atol=1e-5)
  other = heads.of(cfg).sample(cfg, net, features, _keys(5, 8, 7), NO_GUIDANCE)
  assert jnp.abs(other[1] - together[1]).max() > 1e-3
  np.testing.assert_array_equal(other[0], together[0])


def test_guidance_between_equal_branches_changes_nothing(setup):
  cfg, net, features, _ = setup
  plain = heads.of(cfg).sample(cfg, net, features, _keys(1, 2, 3), NO_GUIDANCE)
  guidance = Guidance({"audio": jnp.full(ROWS, 4.0)})
  twice = jax.tree.map(guidance.repeat, features)
  same = heads.of(cfg).sample(cfg, net, twice, _keys(1, 2, 3), guidance)
  np.testing.assert_allclose(same, plain, atol=1e-4)
  other = features[0] + 1, features[1]
  apart = jax.tree.map(lambda *x: jnp.concatenate(x), features, other)
  guided = heads.of(cfg).sample(cfg, net, apart, _keys(1, 2, 3), guidance)
  assert jnp.abs(guided - plain).max() > 1e-2


def test_sets_grow_as_the_cosine_falls():
  # 16 cos(pi / 2 * (1/4, 2/4, 3/4)) = 14.8, 11.3, 6.1 tokens are left.
  assert masked.set_sizes(16, 4).tolist() == [2, 3, 5, 6]
  assert masked.set_sizes(5, 1).tolist() == [5]
  # No set is empty: where the cosine is flat each has one token.
  assert masked.set_sizes(4, 4).tolist() == [1, 1, 1, 1]
  sizes = masked.set_sizes(256, 36)
  assert sizes.sum() == 256 and sizes.min() == 1
  want = 256 * np.cos(np.pi / 2 * np.arange(1, 37) / 36)
  assert np.abs(256 - np.cumsum(sizes) - want).max() < 2


def test_hidden_shares_follow_the_law():
  hidden_BN = masked.hidden_tokens(jax.random.key(0), (4_000,), 100)
  share_B = np.asarray(hidden_BN.mean(axis=1))
  assert share_B.min() >= 0.7 and share_B.max() == 1
  # |Normal(0, 0.25)| cut to [0, 0.3]: mean 0.1219 (scipy.stats.truncnorm).
  assert abs((1 - share_B).mean() - 0.1219) < 0.008
  # Every place is as likely to be hidden as any other.
  place_N = np.asarray(hidden_BN.mean(axis=0))
  assert np.ptp(place_N) < 0.04


@pytest.mark.parametrize("process", ["flow", "noise"])
def test_every_token_is_made_once_given_the_sets_before(process):
  tokens, sets = 16, 5
  cfg = dataclasses.replace(
    talkers.MASKED, sets=sets, process=process, temperature=1.0
  )
  place_N = jnp.arange(1.0, tokens + 1)
  seen = []

  def context(tokens_BNc, known_BN, h_BND):
    jax.debug.callback(lambda *x: seen.append(x), tokens_BNc, known_BN)
    return jnp.broadcast_to(place_N[:, None], (*known_BN.shape, 1))

  def denoise(noisy_Xc, time_X, context_X1):
    if process == "flow":
      return jnp.broadcast_to(context_X1, noisy_Xc.shape)
    angle_X1 = jnp.pi / 2 * time_X[:, None]
    return (noisy_Xc - jnp.sin(angle_X1) * context_X1) / jnp.cos(angle_X1)

  net = types.SimpleNamespace(context=context, denoise=denoise)
  features = jnp.zeros((2, tokens, 3)), jnp.zeros((2, tokens, 4))
  frame_BNc = heads.of(cfg).sample(cfg, net, features, _keys(0, 1), NO_GUIDANCE)
  jax.effects_barrier()
  # Each token is what the denoiser makes of its own place's context.
  want_BNc = jnp.broadcast_to(place_N[None, :, None], frame_BNc.shape)
  np.testing.assert_allclose(frame_BNc, want_BNc, atol=1e-3)
  known = [np.asarray(known_BN) for _, known_BN in seen]
  begins = np.cumsum(masked.set_sizes(tokens, sets))[:-1]
  assert [k.sum(axis=1).tolist() for k in known] == [
    [count, count] for count in (0, *begins)
  ]
  for (made_BNc, known_BN), (_, later_BN) in zip(seen, seen[1:], strict=False):
    assert np.all(later_BN | ~known_BN), "known once, known for good"
    np.testing.assert_allclose(
      made_BNc[known_BN], want_BNc[known_BN], atol=1e-3
    )
  assert np.any(known[1][0] != known[1][1]), "each stream has its own order"


def test_hidden_tokens_are_not_read():
  model, params = talkers.talker(head=talkers.MASKED)
  shape = (2, model.cfg.tokens)
  tokens_BNc = jax.random.normal(
    jax.random.key(0), (*shape, model.cfg.token_width)
  )
  h_BND = jax.random.normal(jax.random.key(1), (*shape, model.cfg.width))
  known_BN = jnp.array([[True, False, True, False]] * 2)

  def context(tokens_BNc):
    net = model.bind({"params": params}).head
    out = net.context(tokens_BNc, known_BN, h_BND)
    return jnp.square(out).sum()

  grad_BNc = jax.jit(jax.grad(context))(tokens_BNc)
  np.testing.assert_array_equal(jnp.any(grad_BNc != 0, axis=-1), known_BN)


def test_the_kind_chooses_the_head():
  for head in talkers.HEADS.values():
    cfg = dataclasses.replace(talkers.TINY, head=head)
    assert from_config(TalkerConfig, to_dict(cfg)) == cfg
  written = to_dict(talkers.TINY)
  written["head"]["kind"] = "mask"
  with pytest.raises(UserError, match="head.kind.*did you mean masked"):
    from_config(TalkerConfig, written)
  with pytest.raises(ValueError, match=r"head.sets is 9; .* 4 tokens"):
    dataclasses.replace(
      talkers.TINY, head=dataclasses.replace(talkers.MASKED, sets=9)
    )
