"""What the tokenizer is trained for, and the statistics of what it learned.

  loss = mean sqrt(e^2 + s^2) + kl * KL(posterior || N(0, 1))
  e    = decode(sample of the posterior + noise) - frames

A sample is a clip, of one frame where a latent is one. The noise, relative to
the latents' own scale, teaches the decoder to bear the errors of a generator.
Gradients near zero error are those of a squared error, elsewhere of an absolute
one: edges weigh less than in plain L2.

Dimension key: B clips, N frames of a clip, t latents, h w latent grid, C
channels, Y X picture.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.config import check_range, to_dict
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers.coding import encode
from eartalk_jax.tokenizers.storing import save_tokenizer
from eartalk_jax.training.loop import fit
from eartalk_jax.training.sharding import TOKENIZER_RULES


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
  """Weights of the parts of the loss.

  Attributes:
    kl: weight of the KL divergence, per latent number.
    noise: deviation of the noise on the latents, where theirs is 1.
    softness: error, of pixels in [0, 1], below which the loss is quadratic.
  """

  kl: float
  noise: float
  softness: float

  def __post_init__(self):
    check_range(self, 0, 1e6, "kl", "noise")
    check_range(self, 1e-6, 1e6, "softness")


def tokenizer_loss(trainable, objective, accumulate=1):
  """(params, None, {"clips_BNYX3"}, key) -> (loss, metrics), for `loop.fit`.

  Args:
    trainable: Trainable.
    objective: ObjectiveConfig.
    accumulate: microbatches in a batch. The latents' scale is that of the whole
      batch's variance, whatever the share of it that is seen at a time; with
      one clip there is none.
  """

  def loss_fn(params, frozen, batch, key):
    del frozen
    clips_BNYX3 = batch["clips_BNYX3"].astype(jnp.float32) / 255
    mean_BthwC, log_variance_BthwC = trainable.encode(params, clips_BNYX3)
    variance_BthwC = jnp.exp(log_variance_BthwC)
    scale = jax.lax.stop_gradient(_scale(mean_BthwC, accumulate))
    deviation_BthwC = jnp.sqrt(variance_BthwC + (objective.noise * scale) ** 2)
    noise_BthwC = jax.random.normal(key, mean_BthwC.shape)
    decoded_BNYX3 = trainable.decode(
      params, mean_BthwC + deviation_BthwC * noise_BthwC
    )
    error_BNYX3 = decoded_BNYX3 - clips_BNYX3
    pixels = jnp.mean(jnp.sqrt(error_BNYX3**2 + objective.softness**2))
    kl = 0.5 * jnp.mean(mean_BthwC**2 + variance_BthwC - 1 - log_variance_BthwC)
    metrics = {
      "pixels": pixels - objective.softness,
      "kl": kl,
      "latent_scale": scale,
      "noisy_psnr_db": -10 * jnp.log10(jnp.mean(error_BNYX3**2)),
    }
    return pixels + objective.kl * kl, metrics

  return loss_fn


def _scale(mean_BthwC, accumulate):
  """The deviation of latents within a batch, as its part shows it.

  A variance over n of N independent clips is (1 - 1/n) / (1 - 1/N) of that
  over all N, on average.
  """
  variance = jnp.mean(jnp.var(mean_BthwC, 0))
  clips = len(mean_BthwC)
  if clips > 1:
    whole = accumulate * clips
    variance *= clips * (whole - 1) / (whole * (clips - 1))
  return jnp.sqrt(variance)


def tokenizer_diagnostics(trainable):
  """(params, None, batch, key) -> PSNR without noise, for `loop.fit`."""

  def diagnose(params, frozen, batch, key):
    del frozen
    del key
    clips_BNYX3 = batch["clips_BNYX3"].astype(jnp.float32) / 255
    mean_BthwC, _ = trainable.encode(params, clips_BNYX3)
    decoded_BNYX3 = trainable.decode(params, mean_BthwC)
    error_BNYX3 = jnp.clip(decoded_BNYX3, 0, 1) - clips_BNYX3
    return {"psnr_db": -10 * jnp.log10(jnp.mean(error_BNYX3**2))}

  return diagnose


def latent_statistics(raw, batches):
  """Mean and variance of each channel over batches of clips.

  Args:
    raw: a Tokenizer that does not normalise (mean 0, deviation 1).
    batches: iterable of uint8 clips [B N Y X 3].

  Returns:
    (mean_C, variance_C), float64.
  """
  count, total_C, squares_C = 0, 0.0, 0.0
  for clips_BNYX3 in batches:
    latents_BthwC = encode(raw, clips_BNYX3).astype(np.float64)
    count += latents_BthwC[..., 0].size
    total_C = total_C + latents_BthwC.sum((0, 1, 2, 3))
    squares_C = squares_C + np.square(latents_BthwC).sum((0, 1, 2, 3))
  mean_C = total_C / count
  variance_C = squares_C / count - np.square(mean_C)
  # Latents that carry nothing must not become infinite.
  return mean_C, np.maximum(variance_C, 1e-12)


def train_tokenizer(
  trainable, objective, run, batches, sample, workdir, *, claim, mesh, judge
):
  """Trains, measures the latents and writes WORKDIR/tokenizer.

  The first process alone measures and writes, so what it finds does not depend
  on how many there are.

  Args:
    trainable: Trainable.
    objective: ObjectiveConfig.
    run: RunConfig.
    batches: this process's rows of {"clips_BNYX3"}, for `loop.fit`.
    sample: iterable of the clips [B N Y X 3] that the latent statistics are of.
    workdir: folder of the run. A rerun goes on where it was.
    claim, mesh: for `loop.fit`.
    judge: called with the Tokenizer, of averaged weights, once it is written.

  Raises:
    UserError: as `loop.fit`; or a microbatch is one clip, of which no scale of
      the noise can be told.
  """
  if objective.noise and run.batch_size // run.accumulate < 2:
    raise UserError(
      f"config: run.batch_size {run.batch_size} over run.accumulate "
      f"{run.accumulate} leaves one picture at a time, and objective.noise "
      "goes by how pictures differ; raise batch_size or lower accumulate"
    )

  def finish():
    # Together: what is read is verified by all processes.
    _, params = load_ema(workdir)
    if jax.process_index():
      return
    params = jax.device_get(params)
    channels = trainable.config.latent_shape[-1]
    raw = trainable.finished(params, np.zeros(channels), np.ones(channels))
    tokenizer = trainable.finished(params, *latent_statistics(raw, sample))
    save_tokenizer(pathlib.Path(workdir) / "tokenizer", tokenizer)
    judge(tokenizer)

  fit(
    run,
    init_params=trainable.init,
    loss_fn=tokenizer_loss(trainable, objective, run.accumulate),
    rules=TOKENIZER_RULES[trainable.kind],
    batches=batches,
    workdir=workdir,
    claim=claim,
    fingerprint={
      "model": to_dict(trainable.config),
      "objective": to_dict(objective),
    },
    diagnose=tokenizer_diagnostics(trainable),
    finish=finish,
    mesh=mesh,
  )


def take(batches, pictures):
  """Clips of the first batches of a run until they have so many pictures."""
  with counting("measuring latents", pictures, "pictures") as advance:
    for batch in batches.iterate(0):
      clips_BNYX3 = batch["clips_BNYX3"]
      yield clips_BNYX3
      shown = clips_BNYX3.shape[0] * clips_BNYX3.shape[1]
      advance(shown)
      pictures -= shown
      if pictures <= 0:
        return
