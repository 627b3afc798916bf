"""The proof that a config fits a machine, made in a process of its own.

A compiler that meets what it cannot do may abort its whole process.
"""

import contextlib
import dataclasses
import importlib.metadata

import jax

from eartalk_jax import recipes
from eartalk_jax.aot import compiling, encoder_report, encoding, report
from eartalk_jax.aot.encoders import (
  Encoders,
  hearing,
  speech_for,
  tokenizer_for,
)
from eartalk_jax.aot.topology import topology
from eartalk_jax.errors import UserError
from eartalk_jax.processes import apart


def proof(config, name, slices=1, encoders=Encoders()):
  """Yields the proof's parts, as each is compiled.

  In turn: the number of devices, the report of the train step, that of a
  streamed frame; with a tokenizer those of the streamed step that decodes and
  of an encoder's step; with a speech encoder that of its windows, None if it is
  no network; and the assumptions of all.

  Args:
    config: has `recipe`, `model`, `data.frames` and `run`.
    name: of the topology.
    slices: TPU slices of it.
    encoders: Encoders.

  Raises:
    UserError: there is no such machine or encoder, the config does not go with
      it, or the compiler did not survive it.
  """
  try:
    parts = apart.each(_prove, config, name, slices, encoders)
    with contextlib.closing(parts):
      yield from parts
  except apart.Died as end:
    raise _failed(name, end.how, end.said) from None


def _prove(config, name, slices, encoders):
  target = topology(name, slices)
  tokenizer = speech = None
  if encoders.tokenizer:
    tokenizer = tokenizer_for(encoders.tokenizer, config.model)
  if encoders.speech:
    speech = speech_for(encoders.speech)
    model = hearing(config.model, speech, encoders.speech)
    config = dataclasses.replace(config, model=model)
  yield len(target.devices)
  try:
    yield from _model(config, target, encoders.streams, tokenizer)
    if encoders.speech:
      yield _speech(speech, target)
  except jax.errors.JaxRuntimeError as error:
    said = str(error).strip().splitlines()[0]
    raise _failed(name, "refuses", said) from None
  except (OverflowError, MemoryError) as error:
    raise UserError(
      f"config: a size is too large to compile ({error})"
    ) from None
  yield report.assumptions(target)


def _model(config, target, streams, tokenizer):
  """Reports of the train step, of a stream's, and of the tokenizer's."""
  recipe = recipes.of(config.recipe.kind)
  model, run = config.model, config.run
  step = compiling.train_step(recipe, model, config.data.frames, run, target)
  yield report.train_report(config, step, target)
  step = compiling.frame_step(recipe, model, target, streams)
  frame = report.frame_report(config, step, target, streams)
  yield frame
  if tokenizer is None:
    return
  step = encoding.stream_step(recipe, model, tokenizer, target, streams)
  yield encoder_report.stream_report(config, step, frame, target, streams)
  step = encoding.encode_step(tokenizer, target)
  yield encoder_report.encoder_report(step, "encoder", target)


def _speech(speech, target):
  if speech.step is None:
    return None
  step = encoding.speech_step(speech, target)
  return encoder_report.encoder_report(step, "speech", target)


def versions():
  """What compiles, in words: jax 1, jaxlib 1, libtpu 2."""
  found = []
  for package in ("jax", "jaxlib", "libtpu"):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found.append(f"{package} {importlib.metadata.version(package)}")
  return ", ".join(found)


def _failed(name, how, said):
  """The UserError of a compiler that did not compile."""
  said = f": {said}" if said else "; it left no word"
  return UserError(
    f"--topology {name}: the compiler {how} ({versions()}){said}"
  )
