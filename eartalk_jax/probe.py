"""A probe: a small network that reads a face's tracks off decoded pixels.

It is trained on real frames only and never sees latents, audio or controls,
so what it reads in a generated video is what is to be seen there. Training
pictures are blurred, moved, tinted and grained at random (see `roughening`),
because decoded pictures are softer than camera pictures.

Dimension key:  B pictures, T frames, K numbers of a track, ..YX3 pictures.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.models.probe import Probe, ProbeConfig
from eartalk_jax.roughening import roughen

_SPREAD_FLOOR = 1e-3
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

  steps: int = 900
  batch: int = 64
  muon_lr: float = 0.03
  adam_lr: float = 2e-3
  weight_decay: float = 0.05
  frames_per_clip: int = 50
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class TrainedProbe:
  """A network with its weights and the scale of its answers.

  Attributes:
    config: the network.
    params: its weights.
    mean, spread: {continuous track: [K]}, of the training frames.
  """

  config: ProbeConfig
  params: dict
  mean: dict
  spread: dict

  def read(self, frames_TYX3):
    """Tracks of uint8 pictures: {name: [T, K]}; a class index for classes."""
    pieces = [
      _apply(self.config, self.params, _padded(piece))
      for piece in _pieces(frames_TYX3)
    ]
    read = {
      name: np.concatenate([np.asarray(piece[name]) for piece in pieces])[
        : len(frames_TYX3)
      ]
      for name in pieces[0]
    }
    for name, _ in self.config.tracks:
      read[name] = read[name] * self.spread[name] + self.mean[name]
    for name, _ in self.config.classes:
      read[name] = read[name].argmax(-1)[:, None].astype(np.float32)
    return read


def probe_config(manifest, size):
  """The probe for a frames dataset: one output for each of its tracks.

  Raises:
    UserError: the dataset has no tracks at all.
  """
  sizes, categories = manifest["track_sizes"], manifest["categories"]
  if not sizes:
    raise UserError(
      "the probe's data has no truth tracks, so that nothing can be measured; "
      "name a frames dataset with truth files by --probe-data"
    )
  return ProbeConfig(
    size=size,
    tracks=tuple(
      (n, k) for n, k in sorted(sizes.items()) if n not in categories
    ),
    classes=tuple((n, len(c)) for n, c in sorted(categories.items())),
  )


def train_probe(source, config, training=ProbeTraining()):
  """Trains a probe on the clips of a frames dataset.

  Args:
    source: sequence of records with "frames", "tracks/NAME" and "has/NAME".
    config: what to read.
    training: how.
  """
  pictures, truth, has = _training_frames(source, config, training)
  mean, spread = _scales(config, truth, has)
  for name in mean:
    truth[name] = (truth[name] - mean[name]) / spread[name]
  model = Probe(config)
  key = jax.random.key(training.seed)
  params = jax.jit(model.init)(key, jnp.zeros((1, *pictures.shape[1:])))
  optimizer = _optimizer(training)
  opt = optimizer.init(params)
  step = jax.jit(functools.partial(_step, model, optimizer))
  rng = np.random.default_rng(training.seed)
  with counting("probe", training.steps, "steps") as advance:
    for index in range(training.steps):
      rows_B = rng.integers(0, len(pictures), training.batch)
      batch = jax.tree.map(lambda v, r=rows_B: v[r], (pictures, truth, has))
      params, opt = step(params, opt, batch, jax.random.fold_in(key, index))
      if index % 8 == 0:
        jax.block_until_ready(params)
      advance()
  return TrainedProbe(config, jax.device_get(params), mean, spread)


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


def _training_frames(source, config, training):
  """Random frames of all clips: pictures, {track: [B, K]}, {track: [B]}."""
  rng = np.random.default_rng(training.seed)
  pictures, truth, has = [], {}, {}
  names = [name for name, _ in (*config.tracks, *config.classes)]
  for index in range(len(source)):
    clip = source[index]
    frames = len(clip["frames"])
    count = min(training.frames_per_clip, frames)
    rows = rng.choice(frames, count, replace=False)
    pictures.append(clip["frames"][rows])
    for name in names:
      truth.setdefault(name, []).append(clip[f"tracks/{name}"][rows])
      has.setdefault(name, []).append(np.full(count, clip[f"has/{name}"]))
  joined = {name: np.concatenate(truth[name]) for name in names}
  present = {name: np.concatenate(has[name]) for name in names}
  return np.concatenate(pictures), joined, present


def _scales(config, truth, has):
  """Mean and standard deviation of each continuous track, where it is."""
  mean, spread = {}, {}
  for name, size in config.tracks:
    rows_BK = truth[name][has[name]]
    if not len(rows_BK):
      rows_BK = np.zeros((1, size), np.float32)
    mean[name] = rows_BK.mean(0)
    spread[name] = np.maximum(rows_BK.std(0), _SPREAD_FLOOR)
  return mean, spread


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


_READ_AT_ONCE = 100


def _pieces(frames_TYX3):
  for start in range(0, len(frames_TYX3), _READ_AT_ONCE):
    yield frames_TYX3[start : start + _READ_AT_ONCE]


def _padded(frames_TYX3):
  """One shape for every piece, so that there is one compilation."""
  missing = _READ_AT_ONCE - len(frames_TYX3)
  return np.pad(frames_TYX3, ((0, missing), (0, 0), (0, 0), (0, 0)))


@functools.partial(jax.jit, static_argnums=0)
def _apply(config, params, frames_BYX3):
  return Probe(config).apply(params, frames_BYX3.astype(jnp.float32) / 255)
