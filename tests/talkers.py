"""A talker small enough for tests, with a clip to run it on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.heads.flow import FlowHeadConfig
from eartalk_jax.heads.masked_network import MaskedHeadConfig
from eartalk_jax.models.config import (
  AudioConfig,
  ControlConfig,
  HistoryConfig,
  TalkerConfig,
)
from eartalk_jax.models.signals import Signal, Signals
from eartalk_jax.models.talker import Talker, init_params
from eartalk_jax.recipes import ear

TINY = TalkerConfig(
  latent_shape=(4, 4, 2),
  patch=2,
  width=16,
  depth=3,
  heads=2,
  window=3,
  positions="relative",
  sinks=1,
  sink_rank=4,
  without=(),
  audio=AudioConfig(past=1, ahead=1, steps=4, bins=5, tokens=2, drop=0.1),
  controls=(
    ControlConfig("pose", "continuous", 3, 0.3),
    ControlConfig("emotion", "categorical", 4, 0.3),
  ),
  history=HistoryConfig(max_level=1.0, clean_share=0.1, sampling_level=0.5),
  head=FlowHeadConfig(
    kind="flow",
    width=16,
    depth=1,
    heads=2,
    rank=4,
    draws=2,
    steps=3,
    spread=0.5,
    shift=3.0,
    temperature=0.7,
  ),
  dtype="float32",
  remat=False,
  unroll=1,
)

MASKED = MaskedHeadConfig(
  kind="masked",
  width=16,
  depth=1,
  heads=2,
  denoiser_width=16,
  denoiser_depth=2,
  rank=4,
  process="flow",
  draws=2,
  sets=3,
  steps=3,
  spread=0.5,
  shift=3.0,
  temperature=0.7,
)
NOISE = dataclasses.replace(MASKED, process="noise")
HEADS = {"flow": TINY.head, "masked": MASKED, "masked, noise": NOISE}


def shipped(module):
  """The config of a module; where it leaves the speech to tokens, mel:80."""
  config = module.get_config()
  if not config.model.audio.bins:
    config.model.audio.steps, config.model.audio.bins = 4, 80
  return config


def talker(**changes):
  """(model, params): every parameter random, so that none is inert.

  The numbers are numpy's: initialisers take longer to compile than most tests
  take to run.
  """
  model = Talker(dataclasses.replace(TINY, **changes))
  shapes = jax.eval_shape(init_params(model), jax.random.key(0))
  rng = np.random.default_rng(0)
  return model, jax.tree.map(
    lambda leaf: jnp.asarray(0.25 * rng.normal(size=leaf.shape), leaf.dtype),
    shapes,
  )


def talker_loss(model):
  """EARTalking's loss of a Talker, (params, batch, key) -> scalar."""

  def loss(params, batch, key):
    return ear.losses(model, params, None, batch, key).mean()

  return loss


def batch(cfg=TINY, rows=2, frames=11, seed=0):
  """A loader's batch of random numbers."""
  rng = np.random.default_rng(seed)
  shape_BT = (rows, frames)

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  def given(share):
    return jnp.asarray(rng.random(shape_BT) < share)

  emotion = rng.integers(0, cfg.controls[1].size, (*shape_BT, cfg.stride))
  return {
    "latents_BThwC": normal(*shape_BT, *cfg.latent_shape),
    "sink_BShwC": normal(rows, cfg.sinks, *cfg.latent_shape),
    "signals": Signals(
      Signal(normal(*shape_BT, cfg.heard), given(0.8)),
      {
        "pose": Signal(normal(*shape_BT, 3 * cfg.stride), given(0.7)),
        "emotion": Signal(jnp.asarray(emotion, jnp.float32), given(0.7)),
      },
    ),
    "portrait": Signals(
      Signal(jnp.zeros((rows, 0)), jnp.zeros(rows, bool)),
      {
        "pose": Signal(normal(rows, 3 * cfg.stride), jnp.arange(rows) % 2 == 0),
        "emotion": Signal(
          jnp.asarray(emotion[:, 0], jnp.float32), jnp.arange(rows) % 2 == 1
        ),
      },
    ),
  }


def breaking(generator):
  """The generator with weights by which a pose of 1 is beyond all numbers."""
  rest = dict(generator.weights["rest"])
  pose = rest["conditions"]["pose_in"]
  huge = {**pose, "kernel": jnp.full_like(pose["kernel"], 2e38)}
  rest["conditions"] = {**rest["conditions"], "pose_in": huge}
  weights = {**generator.weights, "rest": rest}
  broken = dataclasses.replace(generator, weights=weights)
  # Weights are arguments of the compiled program, which is the same.
  broken.__dict__["_chunk"] = generator._chunk
  return broken
