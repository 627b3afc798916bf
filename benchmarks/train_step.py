"""The talker's gradient: time, its floor, and growth with the clip's length.

  python -m benchmarks.train_step

Prints seconds for forward and backward of configs/demo.py at its own batch,
the floor (its FLOPs at the speed of a large float32 matrix product measured in
the same run), the share of the floor reached, and what banded attention saves
over dense. Not included: optimizer, loader, logging.
"""

import jax
import jax.numpy as jnp

from benchmarks.timing import flops, matmul_flops_per_second, seconds
from configs import demo
from eartalk_jax import objective
from eartalk_jax.config import from_config
from eartalk_jax.controls import columns
from eartalk_jax.models import sfa
from eartalk_jax.models.backbone import band
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.sfa_banded import banded as banded_form
from eartalk_jax.models.talker import Talker


def random_batch(cfg, rows, frames):
  """Random numbers in the shapes of a loader's batch."""
  shape_BT = (rows, frames)

  def normal(*shape):
    return jax.random.normal(jax.random.key(0), shape)

  controls = {
    control.name: {
      "value_BTK": jnp.zeros((*shape_BT, columns(control))),
      "given_BT": jnp.ones(shape_BT, bool),
    }
    for control in cfg.controls
  }
  return {
    "latents_BThwC": normal(*shape_BT, *cfg.latent_shape),
    "sink_BShwC": normal(rows, cfg.sinks, *cfg.latent_shape),
    "audio_BTF": normal(*shape_BT, cfg.audio.features),
    "audio_given_BT": jnp.ones(shape_BT, bool),
    "controls": controls,
    "sink_controls": {
      name: {
        "value_BK": control["value_BTK"][:, 0],
        "given_B": control["given_BT"][:, 0],
      }
      for name, control in controls.items()
    },
  }


def gradient_row(cfg, rows, frames, speed):
  """Prints one line: seconds, floor and share for a batch of that shape."""
  model = Talker(cfg)
  key = jax.random.key(0)
  params = jax.jit(objective.init_params(model))(key)
  batch = random_batch(cfg, rows, frames)
  loss_fn = objective.talker_loss(model)

  def gradient(params, batch, key):
    return jax.grad(lambda p: loss_fn(p, batch, key)[0])(params)

  took = seconds(jax.jit(gradient), params, batch, key)
  floor = flops(gradient, params, batch, key) / speed
  print(
    f"gradient, {rows} x {frames:3d} frames: {took * 1e3:7.1f} ms, "
    f"floor {floor * 1e3:6.1f} ms, {floor / took:5.1%} of it"
  )
  return took


def attention_row(cfg, frames):
  """Prints banded against dense attention, forward and backward."""
  shape = (1, frames, cfg.condition_tokens + cfg.tokens, cfg.heads)
  head_width = cfg.width // cfg.heads
  q = jax.random.normal(jax.random.key(0), (*shape, head_width))
  sink = q[:, 0, cfg.condition_tokens :]

  def timed(form):
    def total(x):
      return form(x, x, x, sink, sink, band(cfg), jnp.zeros(1, int)).sum()

    gradient = jax.grad(total)
    return seconds(jax.jit(gradient), q, repeats=5)

  banded, dense = timed(banded_form), timed(sfa.dense)
  print(
    f"attention, {frames:3d} frames: banded {banded * 1e3:6.1f} ms, "
    f"dense {dense * 1e3:6.1f} ms, ratio {dense / banded:4.1f}"
  )


def main():
  """Prints the table."""
  config = demo.get_config()
  cfg = from_config(TalkerConfig, config.model)
  speed = matmul_flops_per_second()
  print(
    f"{jax.device_count()} device(s), matrix product {speed / 1e9:.0f} GF/s"
  )
  rows, frames = config.run.batch_size, config.data.frames
  once = gradient_row(cfg, rows, frames, speed)
  twice = gradient_row(cfg, rows, 2 * frames, speed)
  print(f"twice the frames cost {twice / once:.2f} times as much")
  for length in (16, 32, 64):
    attention_row(cfg, length)


if __name__ == "__main__":
  main()
