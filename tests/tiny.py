"""A regression as small as training can be: the stand-in for real models."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from eartalk_jax.checkpoints.claim import Claim
from eartalk_jax.optimization.optimizer import OptimizerConfig
from eartalk_jax.training.loop import fit
from eartalk_jax.training.run_config import RunConfig

RULES = (
  (r"down/kernel$", P("tensor", "fsdp")),
  (r"kernel$", P("fsdp", "tensor")),
  (r"(bias|scale)$", P()),
)


class Regression(nn.Module):
  """[B F] -> [B 2], with names like those of the real models."""

  @nn.compact
  def __call__(self, x_BF):
    x_BD = nn.Dense(16, name="up")(x_BF)
    x_BD = nn.LayerNorm(name="norm")(nn.gelu(x_BD))
    return nn.Dense(2, name="down")(x_BD)


class Batches:
  """Batches that are a function of the seed and the step."""

  def __init__(self, rows=8, seed=0):
    self.rows, self.seed = rows, seed
    self.fingerprint = {"rows": rows, "seed": seed}

  def batch(self, step):
    rng = np.random.default_rng([self.seed, step])
    x_BF = rng.normal(size=(self.rows, 4)).astype(np.float32)
    y_BF = np.sin(x_BF[:, :2] * 2 + x_BF[:, 2:])
    return {"x_BF": x_BF, "y_BF": y_BF}

  def iterate(self, step):
    while True:
      yield self.batch(step)
      step += 1


def init_params(key):
  return Regression().init(key, jnp.zeros((1, 4)))["params"]


def loss_fn(params, frozen, batch, key):
  y_BF = Regression().apply({"params": params}, batch["x_BF"])
  noise_BF = 0.01 * jax.random.normal(key, y_BF.shape)
  error = jnp.mean((y_BF + noise_BF - batch["y_BF"]) ** 2)
  return error, {"first_output": jnp.mean(y_BF[:, 0])}


def run_config(**changes):
  optimizer = OptimizerConfig(peak_lr=1e-2, warmup_steps=5, weight_decay=0.1)
  settings = {
    "steps": 12,
    "batch_size": 8,
    "optimizer": optimizer,
    "log_every": 2,
    "save_every": 5,
    "diagnose_every": 6,
  }
  return RunConfig(**settings | changes)


def train(workdir, run=None, **changes):
  arguments = {
    "init_params": init_params,
    "loss_fn": loss_fn,
    "rules": RULES,
    "batches": Batches(),
    "workdir": workdir,
    "claim": Claim({"model": "regression"}),
    "fingerprint": {"model": "regression"},
  }
  return fit(run or run_config(), **arguments | changes)
