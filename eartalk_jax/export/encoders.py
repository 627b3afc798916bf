"""Tokenizers and speech encoders of other libraries, in an exported folder.

There they lie as those libraries have them, so that these can load them:

  DIR/tokenizer/config.json, diffusion_pytorch_model.safetensors    diffusers
  DIR/speech/config.json, model.safetensors                      transformers

Statistics of latents, and how speech is cut, stand in DIR/config.json.

Dimension key: B clips, T frames, s frames of a latent, S samples, Y X picture,
h w C latent frame.
"""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from eartalk_jax import speech as speeches
from eartalk_jax import tokenizers
from eartalk_jax.bounds import shown
from eartalk_jax.checkpoints.parts import recipe_kind
from eartalk_jax.config import describe, differences, from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.export.folders import read_json
from eartalk_jax.export.scenarios import NAMES
from eartalk_jax.files import write_json
from eartalk_jax.importing import licences
from eartalk_jax.importing.sources import open_source
from eartalk_jax.spans import FRAME_SAMPLES

# What the PyTorch files know, and the files of weights of each library.
TOKENIZERS = "patches", "kl", "wan", "ltx", "dcae", "taesd"
SPEECHES = "mel", "wav2vec2", "hubert", "wavlm", "whisper"
# What is ours alone of their configurations: they stand in DIR/config.json.
_OURS = "context", "delay", "decode_timestep"
_OWN = "patches", "mel"
_FILES = {
  "tokenizer": "diffusion_pytorch_model.safetensors",
  "speech": "model.safetensors",
}
_STEPS = 3


def check_kinds(run, tokenizer, speech):
  """Raises UserError unless the PyTorch files know all kinds of a run."""
  kinds = {
    "recipe": (recipe_kind(run), ("ear",)),
    "tokenizer": (tokenizer.kind, TOKENIZERS),
    "speech encoder": (speech.kind, SPEECHES),
  }
  for what, (kind, known) in kinds.items():
    if kind not in known:
      raise UserError(
        f"a {what} of kind {kind!r} cannot be exported; {', '.join(known)} can"
      )


def foreign_parts(encoders):
  """{"tokenizer" or "speech": the one of them that is another library's}."""
  parts = dict(zip(("tokenizer", "speech"), encoders, strict=True))
  return {what: part for what, part in parts.items() if part.kind not in _OWN}


def _foreign(what, part):
  """(config.json, {name: array}) of its library."""
  table = tokenizers.KINDS if what == "tokenizer" else speeches.KINDS
  config, arrays = table[part.kind].foreign(part)
  return json.loads(json.dumps(config)), arrays


def write_foreign(folder, encoders, workdir):
  """Writes the folders of those encoders that are another library's.

  Args:
    folder: the exported one.
    encoders: (Tokenizer, Speech).
    workdir: of the run, whose folders of encoders may tell their licences.
  """
  for what, part in foreign_parts(encoders).items():
    config, arrays = _foreign(what, part)
    (folder / what).mkdir()
    write_json(folder / what / "config.json", config)
    if hasattr(part.config, "do_normalize"):
      processor = {"do_normalize": part.config.do_normalize}
      write_json(folder / what / "preprocessor_config.json", processor)
    save_file(arrays, folder / what / _FILES[what], {"format": "pt"})
    licences.carry(workdir / what, folder / what)


def compare_foreign(folder, encoders):
  """One phrase for each number in such folders that is not the checkpoint's."""
  wrong = []
  for what, part in foreign_parts(encoders).items():
    config, arrays = _foreign(what, part)
    where = f"{folder / what}"
    changes = differences(config, read_json(folder / what, "config.json"))
    if changes:
      wrong.append(f"{where}/config.json: {describe(changes)}")
    source = open_source(folder / what)
    for name in sorted(arrays.keys() ^ set(source.names)):
      there = "nobody knows" if name in source.names else "there is no"
      wrong.append(f"{where}: {there} tensor {name}")
    for name in arrays.keys() & set(source.names):
      if not np.array_equal(source.read[name], arrays[name]):
        wrong.append(f"{where}: {name} is not the checkpoint's")
  return wrong


def read_back(folder, what, name, config):
  """A tokenizer or speech encoder of an exported folder.

  Args:
    folder: the exported one.
    what: "tokenizer" or "speech".
    name, config: its kind and configuration, as training.json says them.

  Raises:
    UserError: it is not whole, or not the one that is described.
  """
  known = TOKENIZERS if what == "tokenizer" else SPEECHES
  if name not in known:
    raise UserError(
      f"{folder}/training.json: no {what} of kind {shown(name)} comes back; "
      f"{', '.join(known)} do"
    )
  table = tokenizers.KINDS if what == "tokenizer" else speeches.KINDS
  source = open_source(folder / what)
  try:
    if what == "tokenizer":
      part = table[name].imported(source, config["size"])
    else:
      window = tuple(config[side] for side in ("left", "step", "right"))
      part = table[name].imported(source, window, tuple(config["states"]))
    wanted = from_config(type(part.config), config)
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(
      f"{folder}/training.json: {what} is damaged ({shown(error)}); export it "
      "again"
    ) from None
  changes = differences(to_dict(wanted), to_dict(part.config), free=_OURS)
  if changes:
    raise UserError(
      f"{folder / what} is not the {what} that training.json describes: "
      f"{describe(changes)}; export it again"
    )
  return dataclasses.replace(part, config=wanted)


def describe_part(part):
  """What `read_back` needs to be told."""
  return {"kind": part.kind, "config": to_dict(part.config)}


def compare_encoders(encoders, talker):
  """{what: max abs difference over max abs output}, here and in PyTorch.

  Args:
    encoders: (Tokenizer, Speech).
    talker: the EARTalking of the exported folder.
  """
  compare = {"tokenizer": _tokenizer, "speech": _speech}
  worst = {}
  for what, part in foreign_parts(encoders).items():
    for name, ours, theirs in compare[what](part, getattr(talker, what)):
      ours = np.asarray(ours, np.float64)
      away = np.abs(ours - theirs.double().numpy()).max()
      worst[f"{what}.{name}"] = float(away / max(np.abs(ours).max(), 1e-6))
  return worst


@functools.partial(jax.jit, static_argnums=0)
def encode_portrait(tokenizer, params, pictures_BYX3):
  """See `Tokenizer`; compiled once, whoever compares."""
  return tokenizer.encode_portrait(params, pictures_BYX3)


@functools.partial(jax.jit, static_argnums=0)
def init_decode(tokenizer, params, pictures_BYX3, latents_BhwC):
  """As `encode_portrait`."""
  return tokenizer.init_decode(params, pictures_BYX3, latents_BhwC)


@functools.partial(jax.jit, static_argnums=0)
def decode_step(tokenizer, params, state, latents_BhwC):
  """As `encode_portrait`."""
  return tokenizer.decode_step(params, state, latents_BhwC)


def _tokenizer(tokenizer, theirs):
  """Yields (name, ours, theirs) of a portrait and the steps after it."""
  import torch

  rng = np.random.default_rng(0)
  y, x = tokenizer.picture_shape
  rows = len(NAMES)  # as in `stream_pairs`: one compilation serves both
  pictures_BYX3 = rng.integers(0, 256, (rows, y, x, 3), np.uint8)
  params = jax.tree.map(jnp.asarray, tokenizer.params)
  unit_BYX3 = jnp.asarray(pictures_BYX3, jnp.float32) / 255
  first_BhwC = encode_portrait(tokenizer, params, unit_BYX3)
  with torch.no_grad():
    theirs_BhwC = theirs.encode(torch.from_numpy(pictures_BYX3))
    yield "encode", first_BhwC, theirs_BhwC
    shape = _STEPS + tokenizer.delay, rows, *tokenizer.latent_shape
    latents_TBhwC = rng.normal(size=shape).astype(np.float32)
    state = init_decode(tokenizer, params, unit_BYX3, first_BhwC)
    their_state = theirs.open(torch.from_numpy(np.array(first_BhwC)))
    for step, latents_BhwC in enumerate(latents_TBhwC):
      state, frames_BsYX3 = decode_step(tokenizer, params, state, latents_BhwC)
      their_state, their_frames = theirs.step(
        their_state, torch.from_numpy(latents_BhwC)
      )
      if step >= tokenizer.delay:
        yield f"decode.{step}", frames_BsYX3, their_frames.clamp(0, 1)


def _speech(speech, theirs):
  """Yields (name, ours, theirs) of a window."""
  import torch

  size = speech.before + (speech.step or 1) * FRAME_SAMPLES + speech.after
  samples_S = np.random.default_rng(0).normal(0, 0.1, size).astype(np.float32)
  ours = jax.jit(speech.apply)(speech.params, samples_S[None])[0]
  with torch.no_grad():
    yield "window", ours, theirs(torch.from_numpy(samples_S))
