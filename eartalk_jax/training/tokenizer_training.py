"""What the tokenizer is trained for, and the statistics of what it learned.

  loss = mean sqrt(e^2 + s^2) + kl * KL(posterior || N(0, 1))
  e    = decode(sample of the posterior + noise) - picture

The noise, relative to the latents' own scale, teaches the decoder to bear the
errors of a generator. Gradients near zero error are those of a squared error,
elsewhere of an absolute one: edges weigh less than in plain L2.

Dimension key: B pictures, h w latent grid, C channels, Y X picture.
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
from eartalk_jax.tokenizers.autoencoder import Autoencoder
from eartalk_jax.tokenizers.coding import encode_portraits
from eartalk_jax.tokenizers.patches import PatchTokenizer
from eartalk_jax.tokenizers.storing import save_tokenizer
from eartalk_jax.training.loop import fit
from eartalk_jax.training.sharding import AUTOENCODER_RULES


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


def init_params(config):
  """key -> parameters of the Autoencoder."""

  def init(key):
    picture_1YX3 = jnp.zeros((1, config.size, config.size, 3))
    return Autoencoder(config).init(key, picture_1YX3)["params"]

  return init


def tokenizer_loss(config, objective, accumulate=1):
  """(params, {"pictures_BYX3"}, key) -> (loss, metrics), for `loop.fit`.

  Args:
    config: TokenizerConfig.
    objective: ObjectiveConfig.
    accumulate: microbatches in a batch. The latents' scale is that of the whole
      batch's variance, whatever the share of it that is seen at a time; with
      one picture there is none.
  """
  model = Autoencoder(config)

  def loss_fn(params, frozen, batch, key):
    del frozen
    pictures_BYX3 = batch["pictures_BYX3"].astype(jnp.float32) / 255
    mean_BhwC, log_variance_BhwC = model.apply(
      {"params": params}, pictures_BYX3, method="encode"
    )
    variance_BhwC = jnp.exp(log_variance_BhwC)
    scale = jax.lax.stop_gradient(_scale(mean_BhwC, accumulate))
    deviation_BhwC = jnp.sqrt(variance_BhwC + (objective.noise * scale) ** 2)
    noise_BhwC = jax.random.normal(key, mean_BhwC.shape)
    decoded_BYX3 = model.apply(
      {"params": params},
      mean_BhwC + deviation_BhwC * noise_BhwC,
      method="decode",
    )
    error_BYX3 = decoded_BYX3 - pictures_BYX3
    pixels = jnp.mean(jnp.sqrt(error_BYX3**2 + objective.softness**2))
    kl = 0.5 * jnp.mean(mean_BhwC**2 + variance_BhwC - 1 - log_variance_BhwC)
    metrics = {
      "pixels": pixels - objective.softness,
      "kl": kl,
      "latent_scale": scale,
      "noisy_psnr_db": -10 * jnp.log10(jnp.mean(error_BYX3**2)),
    }
    return pixels + objective.kl * kl, metrics

  return loss_fn


def _scale(mean_BhwC, accumulate):
  """The deviation of latents within a batch, as its part shows it.

  A variance over n of N independent pictures is (1 - 1/n) / (1 - 1/N) of that
  over all N, on average.
  """
  variance = jnp.mean(jnp.var(mean_BhwC, 0))
  pictures = len(mean_BhwC)
  if pictures > 1:
    whole = accumulate * pictures
    variance *= pictures * (whole - 1) / (whole * (pictures - 1))
  return jnp.sqrt(variance)


def tokenizer_diagnostics(config):
  """(params, batch, key) -> PSNR without noise, for `loop.fit`."""
  model = Autoencoder(config)

  def diagnose(params, frozen, batch, key):
    del frozen
    del key
    pictures_BYX3 = batch["pictures_BYX3"].astype(jnp.float32) / 255
    decoded_BYX3 = model.apply({"params": params}, pictures_BYX3)
    error_BYX3 = jnp.clip(decoded_BYX3, 0, 1) - pictures_BYX3
    return {"psnr_db": -10 * jnp.log10(jnp.mean(error_BYX3**2))}

  return diagnose


def latent_statistics(raw, batches):
  """Mean of each channel and the deviation of all, over batches of pictures.

  Args:
    raw: a Tokenizer that does not normalise (mean 0, deviation 1).
    batches: iterable of uint8 pictures [B Y X 3].

  Returns:
    (mean_C, std), float32; std is the root mean square over the channels.
  """
  count, total_C, squares_C = 0, 0.0, 0.0
  for pictures_BYX3 in batches:
    latents_BhwC = encode_portraits(raw, pictures_BYX3).astype(np.float64)
    count += latents_BhwC[..., 0].size
    total_C = total_C + latents_BhwC.sum((0, 1, 2))
    squares_C = squares_C + np.square(latents_BhwC).sum((0, 1, 2))
  mean_C = total_C / count
  variance_C = squares_C / count - np.square(mean_C)
  # Latents that carry nothing must not become infinite.
  std = np.sqrt(np.maximum(variance_C.mean(), 1e-12))
  return mean_C.astype(np.float32), std.astype(np.float32)


def train_tokenizer(
  config, objective, run, batches, sample, workdir, *, claim, mesh, judge
):
  """Trains, measures the latents and writes WORKDIR/tokenizer.

  The first process alone measures and writes, so what it finds does not depend
  on how many there are.

  Args:
    config: TokenizerConfig.
    objective: ObjectiveConfig.
    run: RunConfig.
    batches: this process's rows of {"pictures_BYX3"}, for `loop.fit`.
    sample: iterable of the pictures [B Y X 3] that the latent statistics are
      of.
    workdir: folder of the run. A rerun goes on where it was.
    claim, mesh: for `loop.fit`.
    judge: called with the Tokenizer, of averaged weights, once it is written.

  Raises:
    UserError: as `loop.fit`; or a microbatch is one picture, of which no
      scale of the noise can be told.
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
    zeros_C = np.zeros(config.channels, np.float32)
    raw = PatchTokenizer(config, params, mean_C=zeros_C, std=np.float32(1))
    tokenizer = PatchTokenizer(config, params, *latent_statistics(raw, sample))
    save_tokenizer(pathlib.Path(workdir) / "tokenizer", tokenizer)
    judge(tokenizer)

  fit(
    run,
    init_params=init_params(config),
    loss_fn=tokenizer_loss(config, objective, run.accumulate),
    rules=AUTOENCODER_RULES,
    batches=batches,
    workdir=workdir,
    claim=claim,
    fingerprint={
      "model": to_dict(config),
      "objective": to_dict(objective),
    },
    diagnose=tokenizer_diagnostics(config),
    finish=finish,
    mesh=mesh,
  )


def take(batches, pictures):
  """Pictures of the first batches of a run until there are so many."""
  with counting("measuring latents", pictures, "pictures") as advance:
    for batch in batches.iterate(0):
      pictures_BYX3 = batch["pictures_BYX3"]
      yield pictures_BYX3
      advance(len(pictures_BYX3))
      pictures -= len(pictures_BYX3)
      if pictures <= 0:
        return
