"""The `flow` head: all tokens of a frame at once, by flow matching."""

import jax

from eartalk_jax import flow


def loss(cfg, use, target_BTNc, features, key, uniform=None):
  """See `heads`."""

  def denoise(noisy_RBTNc, time_RBT):
    if cfg.draws == 1:  # an axis of length 1 is slow on CPUs: see `sfa_banded`
      return use("__call__", noisy_RBTNc[0], time_RBT[0], features)[None]
    # All draws read the same features.
    shared = jax.tree.map(lambda x: x[None], features)
    return use("__call__", noisy_RBTNc, time_RBT, shared)

  return flow.loss(denoise, target_BTNc, key, cfg.draws, cfg.shift, uniform)


def sample(cfg, use, features, key_B, guidance):
  """See `heads`."""

  def denoise(noisy_BNc, time_B):
    noisy, time = guidance.repeat(noisy_BNc), guidance.repeat(time_B)
    return guidance.combine(use("__call__", noisy, time, features))

  shape = features[1].shape[1:]
  noise_BNc = jax.vmap(lambda key: jax.random.normal(key, shape))(key_B)
  return flow.sample(denoise, cfg.temperature * noise_BNc, cfg.steps, cfg.shift)
