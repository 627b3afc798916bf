"""Trains a probe on real frames.

Training pictures are mirrored, blurred, moved, tinted and grained at random
(see `probe_frames` and `roughening`): decoded pictures are softer than camera
pictures, and who somebody is must not tell what the face does.

Dimension key:  B pictures, K numbers of a track, ..YX3 pictures.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from eartalk_jax.counting import counting
from eartalk_jax.evaluation.probe import TrainedProbe
from eartalk_jax.evaluation.probe_frames import gather_frames
from eartalk_jax.evaluation.roughening import roughen
from eartalk_jax.models.probe import Probe

# Output layers are narrower than this.
_NARROW = 20


@dataclasses.dataclass(frozen=True)
class ProbeTraining:
  """How a probe is trained.

  Attributes:
    steps, batch, weight_decay: the usual.
    muon_lr: peak learning rate of the weights, by Muon, which needs a third of
      the steps that Adam needs here.
    adam_lr: of biases and output layers.
    frames_per_clip: random frames taken of each clip.
    seed: of everything random.
  """

  steps: int = 2500
  batch: int = 32
  muon_lr: float = 0.02
  adam_lr: float = 2e-3
  weight_decay: float = 0.05
  frames_per_clip: int = 50
  seed: int = 0


def train_probe(source, config, training=ProbeTraining()):
  """Trains a probe on the clips of a frames dataset.

  Args:
    source: sequence of records with "frames", "tracks/NAME" and "has/NAME".
    config: what to read.
    training: how.
  """
  rng = np.random.default_rng(training.seed)
  frames = gather_frames(source, config, training.frames_per_clip, rng)
  model = Probe(config)
  key = jax.random.key(training.seed)
  example = jnp.zeros((1, *frames.pictures_NYX3.shape[1:]))
  params = jax.jit(model.init)(key, example)
  optimizer = _optimizer(training)
  opt = optimizer.init(params)
  step = jax.jit(functools.partial(_step, model, optimizer))
  with counting("probe", training.steps, "steps") as advance:
    for index in range(training.steps):
      batch = frames.draw(training.batch, rng)
      params, opt = step(params, opt, batch, jax.random.fold_in(key, index))
      if index % 8 == 0:
        jax.block_until_ready(params)
      advance()
  return TrainedProbe(
    config, jax.device_get(params), frames.mean, frames.spread
  )


def _optimizer(training):
  def schedule(peak):
    return optax.warmup_cosine_decay_schedule(
      0.0, peak, training.steps // 10, training.steps
    )

  return optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.contrib.muon(
      schedule(training.muon_lr),
      weight_decay=training.weight_decay,
      adam_b2=0.99,
      adam_learning_rate=schedule(training.adam_lr),
      muon_weight_dimension_numbers=_muon_axes,
    ),
  )


def _muon_axes(params):
  """Which leaves are matrices to Muon; None leaves one to Adam."""

  def axes(leaf):
    if leaf.ndim == 4:  # a convolution: all that goes into one channel
      return optax.contrib.MuonDimensionNumbers((0, 1, 2), (3,))
    if leaf.ndim == 2 and min(leaf.shape) > _NARROW:
      return optax.contrib.MuonDimensionNumbers((0,), (1,))
    return None

  return jax.tree.map(axes, params)


def _step(model, optimizer, params, opt, batch, key):
  pictures_BYX3, truth, has = batch
  pictures_BYX3 = roughen(pictures_BYX3.astype(jnp.float32) / 255, key)

  def loss_fn(params):
    answers = model.apply(params, pictures_BYX3)
    return sum(
      jnp.sum(has[name] * _errors(answers[name], truth[name], classes))
      / jnp.maximum(has[name].sum(), 1)
      for classes, outputs in (
        (False, model.config.tracks),
        (True, model.config.classes),
      )
      for name, _ in outputs
    )

  updates, opt = optimizer.update(jax.grad(loss_fn)(params), opt, params)
  return optax.apply_updates(params, updates), opt


def _errors(answer_BK, truth_BK, classes):
  """Loss of each picture: cross-entropy, or squared error summed over K."""
  if classes:
    return optax.softmax_cross_entropy_with_integer_labels(
      answer_BK, truth_BK[:, 0].astype(jnp.int32)
    )
  return jnp.square(answer_BK - truth_BK).sum(-1)
