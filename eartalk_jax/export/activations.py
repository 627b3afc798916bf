"""What every module says, here and in PyTorch, to the same inputs.

Teacher-forced: one clip, longer than two windows. Each part gets the same
inputs on both sides, so a difference is its own.

Dimension key: B clips, T frames, S sink frames, N tokens, c numbers in a token.
"""

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.export.names import torch_name
from eartalk_jax.export.tensors import torch_signals, torch_tensors
from eartalk_jax.models.backbone import Layer, unstack_layers
from eartalk_jax.models.signals import Signal, Signals
from eartalk_jax.tokenizers.autoencoder import Autoencoder
from eartalk_jax.trees import path_name

_ROWS = 2


def compare_layers(model, params, tokenizer, torch_model):
  """{module's name in PyTorch: max abs difference over max abs output}.

  Args:
    model, params: the Talker and its parameters.
    tokenizer: Tokenizer.
    torch_model: the EARTalking of the exported folder.
  """
  worst = {}
  parts = [
    *_embedding(model, params, torch_model),
    *_backbone(model, params, torch_model),
    *_head(model, params, torch_model),
  ]
  if tokenizer.kind == "patches":
    parts += _tokenizer(tokenizer, torch_model.tokenizer)
  for prefix, module, here, there in parts:
    outputs = _listen(module, there)
    for name, leaves in here().items():
      if name not in outputs:
        continue
      for ours, theirs in zip(leaves, outputs[name], strict=True):
        full = ".".join(filter(None, (prefix, name)))
        worst[full] = max(worst.get(full, 0.0), _relative(ours, theirs))
  return worst


def _relative(ours, theirs):
  ours = np.asarray(ours, np.float64).reshape(-1)
  theirs = theirs.double().numpy().reshape(-1)
  scale = np.abs(ours).max(initial=1e-6)
  return float(np.abs(ours - theirs).max(initial=0.0) / scale)


def _capture(module, params, method, *args):
  """{name in PyTorch: outputs} of all submodules that a method calls."""

  def run(params, *args):
    _, kept = module.apply(
      {"params": params},
      *args,
      method=method,
      capture_intermediates=True,
      mutable=["intermediates"],
    )
    return kept["intermediates"]

  found = {}
  kept = jax.jit(run)(params, *args)
  for path, leaf in jax.tree_util.tree_leaves_with_path(kept):
    name, _, _ = path_name(path).partition("__call__")
    name = torch_name(f"{name}kernel", 0).removesuffix("weight")
    found.setdefault(name.removesuffix("."), []).append(leaf)
  return found


def _listen(module, call):
  """{name: outputs} of all submodules while `call` runs; of itself as ""."""
  import torch

  found, hooks = {}, []
  for name, part in module.named_modules():

    def hook(_, inputs, output, name=name):
      several = isinstance(output, (list, tuple))
      found.setdefault(name, []).extend(output if several else [output])

    hooks.append(part.register_forward_hook(hook))
  with torch.no_grad():
    out = call()
  for hook in hooks:
    hook.remove()
  return found | {"": [out]}


def _torch(tree):
  if isinstance(tree, Signals):
    return torch_signals(tree)
  return torch_tensors(tree)


def _clip(cfg):
  """A clip's tokens, noise levels and signals, all random."""
  rng = np.random.default_rng(0)
  frames = 2 * cfg.window + 3

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  def signals(*lead):
    controls = {}
    for control in cfg.controls:
      value = rng.uniform(0, 1, (*lead, cfg.columns(control)))
      if control.kind == "categorical":
        value = np.floor(value * control.size)
      controls[control.name] = signal(jnp.asarray(value, jnp.float32))
    return Signals(signal(normal(*lead, cfg.heard)), controls)

  def signal(value):
    given = rng.random(value.shape[:-1]) < 0.7
    return Signal(value, jnp.asarray(given))

  lead = (_ROWS, frames)
  level_BT = rng.uniform(0, cfg.history.max_level, lead)
  return {
    "previous": normal(*lead, cfg.tokens, cfg.token_width),
    "level": jnp.asarray(level_BT, jnp.float32),
    "started": jnp.ones(lead, bool).at[:, 0].set(cfg.sinkless),
    "sink": normal(_ROWS, cfg.sinks, cfg.tokens, cfg.token_width),
    "signals": signals(*lead),
    "portrait": signals(_ROWS),
    "first": jnp.arange(_ROWS) + cfg.window // 2,
  }


def _embedding(model, params, torch_model):
  clip = _clip(model.cfg)
  portrait = model.apply(
    {"params": params}, clip["portrait"], method="embed_portrait"
  )[:, None]
  args = (
    *(clip[name] for name in ("previous", "level", "started")),
    clip["sink"][:, :1],
    portrait,
    clip["signals"],
  )
  yield (
    "",
    torch_model,
    lambda: _capture(model, params, "embed_block", *args),
    lambda: torch_model.embed_block(*map(_torch, args)),
  )


def _backbone(model, params, torch_model):
  """Each layer on random blocks, and on the sink."""
  cfg = model.cfg
  clip, rng = _clip(cfg), np.random.default_rng(1)
  lead = (*clip["level"].shape, cfg.condition_tokens + cfg.tokens, cfg.width)
  x, modulator = jnp.asarray(rng.normal(size=(2, *lead)), jnp.float32)
  sink, anchor = jnp.asarray(
    rng.normal(size=(2, _ROWS, cfg.sinks * cfg.tokens, cfg.width)), jnp.float32
  )
  layers = unstack_layers(params["backbone"])
  for index, weights in enumerate(layers):
    layer = Layer(cfg, last=index == cfg.depth - 1)
    part = torch_model.layers[index]

    def here(layer=layer, weights=weights):
      found = _capture(
        layer, weights, None, (x, sink), anchor, modulator, clip["first"]
      )
      found[""] = found[""][:1]  # without the sink's next state
      return found

    def there(part=part):
      _, *keys = part.sink(*map(_torch, (sink, anchor)))
      return part.clip(
        _torch(x), keys, _torch(modulator), _torch(clip["first"])
      )

    yield f"layers.{index}", part, here, there


def _head(model, params, torch_model):
  """The head's network: on features of random numbers."""
  cfg, head = model.cfg, torch_model.head
  rng = np.random.default_rng(2)

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  noisy = normal(_ROWS, cfg.tokens, cfg.token_width)
  features = normal(_ROWS, cfg.tokens, cfg.width), 0.1 * noisy
  time = jnp.asarray(rng.uniform(size=_ROWS), jnp.float32)

  def run(talker, *args):
    return talker.head(*args)

  if cfg.head.kind == "flow":

    def there():
      return head(_torch(noisy), _torch(time), head.read(_torch(features)))
  else:

    def there():
      h, guess = _torch(features)
      known = _torch(jnp.zeros(noisy.shape[:2], bool))
      context = head.context(_torch(noisy), known, head.h_in(h))
      context = head.denoiser.context_in(context)
      times = _torch(time)[:, None].expand(known.shape)
      return guess + head.denoiser(_torch(noisy), times, context)

  yield (
    "",
    torch_model,
    lambda: _capture(model, params, run, noisy, time, features),
    there,
  )


def _tokenizer(tokenizer, theirs):
  config = tokenizer.config
  rng = np.random.default_rng(3)
  shape = (_ROWS, config.size, config.size, 3)
  pictures = rng.integers(0, 256, shape, dtype=np.uint8)
  latents = rng.normal(size=(_ROWS, *config.latent_shape)).astype(np.float32)
  raw = latents * tokenizer.std + tokenizer.mean_C
  network = Autoencoder(config)
  for method, given, call in (
    ("encode", jnp.asarray(pictures, jnp.float32) / 255, theirs.encode),
    ("decode", jnp.asarray(raw, jnp.float32), theirs.pictures),
  ):
    inputs = pictures if method == "encode" else latents
    yield (
      "tokenizer",
      theirs,
      lambda method=method, given=given: _capture(
        network, tokenizer.params, method, given
      ),
      lambda call=call, inputs=inputs: call(_torch(inputs)),
    )
