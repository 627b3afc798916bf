"""One side of benchmarks.torch_vs_jax: reads "TASK COUNT", answers seconds."""

import dataclasses
import json
import os
import sys
import time

import numpy as np

_FRAME = 640  # samples


def _batch(config, rows, frames):
  """Random numbers of a clip's shapes, the same for both sides."""
  rng = np.random.default_rng(0)

  def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)

  def controls(*lead):
    sizes = {
      c.name: c.size if c.kind == "continuous" else 1 for c in config.controls
    }
    return {
      name: {
        "value": abs(normal(*lead, size)) % 1,
        "given": np.ones(lead, bool),
      }
      for name, size in sizes.items()
    }

  audio = config.audio
  features = (audio.past + 1 + audio.ahead) * audio.steps * audio.bins
  return {
    "latents": normal(rows, frames, *config.latent_shape),
    "sink": normal(rows, config.sinks, *config.latent_shape),
    "audio": normal(rows, frames, features),
    "controls": controls(rows, frames),
    "portrait": controls(rows),
  }


def _portrait(size):
  return np.random.default_rng(1).integers(
    0, 256, (size, size, 3), dtype=np.uint8
  )


def _speech(frames):
  rng = np.random.default_rng(2)
  return rng.normal(0, 0.1, (frames, _FRAME)).astype(np.float32)


def jax_tasks(dtype, checkpoint, exported):
  """{task: () -> None}, in JAX."""
  del exported
  import jax

  from eartalk_jax.config import from_config
  from eartalk_jax.generate import load_generator
  from eartalk_jax.models.signals import Signal, Signals
  from eartalk_jax.models.talker import Talker, init_params
  from eartalk_jax.streaming import Streams
  from eartalk_jax.training.run_config import RunConfig
  from eartalk_jax.training.train_step import make_init, make_step

  generator = load_generator(checkpoint)
  cfg = dataclasses.replace(generator.config, dtype=dtype)
  generator = dataclasses.replace(generator, model=Talker(cfg))
  written = json.loads((checkpoint / "config.json").read_text())
  run = from_config(RunConfig, written["run"])
  adam = dataclasses.replace(run.optimizer, matrices="adam")
  run = dataclasses.replace(run, optimizer=adam)
  raw = _batch(cfg, run.batch_size, written["data"]["frames"])

  def signals_of(controls):
    return {name: Signal(**control) for name, control in controls.items()}

  given = np.ones(raw["audio"].shape[:2], bool)
  batch = {
    "latents_BThwC": raw["latents"],
    "sink_BShwC": raw["sink"],
    "signals": Signals(
      Signal(raw["audio"], given), signals_of(raw["controls"])
    ),
    "portrait": Signals(
      Signal(raw["audio"][:, 0, :0], ~given[:, 0]), signals_of(raw["portrait"])
    ),
  }
  key, batch = jax.random.key(0), jax.device_put(batch)
  begin = init_params(generator.model)
  held = [jax.jit(make_init(run, begin))(key)]

  def loss_fn(params, frozen, batch, key):
    recipe, model = generator.recipe, generator.model
    return recipe.losses(model, params, frozen, batch, key).mean(), {}

  step = make_step(run, loss_fn)
  step, rate = jax.jit(step, donate_argnums=0), np.float32(adam.peak_lr)

  def train():
    held[0], metrics = step(held[0], None, batch, key, rate)
    jax.block_until_ready((held[0], metrics))

  streams = Streams(generator)
  stream = streams.open(_portrait(generator.size), idle=False)
  return {"train": train, "frame": _frames(stream)}


def torch_tasks(dtype, checkpoint, exported, compiled):
  """{task: () -> None}, in PyTorch."""
  sys.modules["jax"] = None  # the exported folder needs none
  sys.path.insert(0, str(exported))
  import modeling_eartalk
  import torch

  def load(dtype):
    return modeling_eartalk.EARTalking.from_pretrained(
      exported, getattr(torch, dtype)
    )

  # Parameters in float32, products in bfloat16, as in JAX.
  model = load("float32").train()
  written = json.loads((checkpoint / "config.json").read_text())
  run, optimizer = written["run"], written["run"]["optimizer"]
  batch = _batch(model.cfg, run["batch_size"], written["data"]["frames"])
  lead = batch["audio"].shape[:2]
  signals = {"audio": batch["audio"], "audio_given": np.ones(lead, bool)}
  portrait = {
    "audio": np.zeros_like(batch["audio"][:, 0]),
    "audio_given": np.zeros(lead[:1], bool),
  }
  batch = {
    "latents": batch["latents"],
    "sink": batch["sink"],
    "signals": signals | {"controls": batch["controls"]},
    "portrait": portrait | {"controls": batch["portrait"]},
  }
  batch = _tensors(torch, batch)
  decays = {True: [], False: []}
  for name, parameter in model.named_parameters():
    decays[name.endswith("weight")].append(parameter)
  adam = torch.optim.AdamW(
    [
      {"params": decays[True], "weight_decay": optimizer["weight_decay"]},
      {"params": decays[False], "weight_decay": 0.0},
    ],
    lr=optimizer["peak_lr"],
    betas=(optimizer["b1"], optimizer["b2"]),
    fused=True,
  )
  parameters = list(model.parameters())
  average = [p.detach().clone() for p in parameters]
  loss_fn = model.loss
  if compiled:
    loss_fn = torch.compile(model.loss, fullgraph=True, dynamic=False)

  def train():
    adam.zero_grad(set_to_none=True)
    draws = model.training_draws(*lead)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
      loss = loss_fn(batch, draws)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, optimizer["clip_norm"])
    adam.step()
    with torch.no_grad():
      torch._foreach_lerp_(average, parameters, 1 - run["ema_decay"])

  talker = load(dtype)
  stream = modeling_eartalk.Stream(
    talker, _portrait(talker.cfg.tokenizer.size), compile=compiled
  )
  return {"train": train, "frame": _frames(stream)}


def _tensors(torch, tree):
  if isinstance(tree, dict):
    return {name: _tensors(torch, value) for name, value in tree.items()}
  return torch.from_numpy(np.array(tree))


def _frames(stream):
  """A call that makes one frame, of a stream of either side."""
  speech = _speech(100)
  stream.push(np.resize(speech, 4 * _FRAME))  # the look-ahead
  for _ in stream.pull():
    pass
  count = 0

  def frame():
    nonlocal count
    stream.push(speech[count % len(speech)])
    count += 1
    frames = list(stream.pull())
    if len(frames) != 1:
      raise RuntimeError(f"{len(frames)} frames instead of one")

  return frame


def main():
  """Measures until nobody asks any more."""
  kind, dtype, threads, checkpoint, exported = sys.argv[1:]
  cores = sorted(os.sched_getaffinity(0))[: int(threads)]
  os.sched_setaffinity(0, cores)
  import pathlib

  folders = pathlib.Path(checkpoint).absolute(), pathlib.Path(exported)
  if kind == "jax":
    tasks = jax_tasks(dtype, *folders)
  else:
    import torch

    torch.set_num_threads(int(threads))
    tasks = torch_tasks(dtype, *folders, compiled=kind == "torch compiled")
  for line in sys.stdin:
    task, count = line.split()
    seconds = []
    for _ in range(int(count)):
      began = time.perf_counter()
      tasks[task]()
      seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
  main()
