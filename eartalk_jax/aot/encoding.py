"""What tokenizers and speech encoders compute, compiled: see `compiling`.

The stream's step is that of `Streams`, the others are those of
`launch.tokenize`. All of it runs on one device.

Dimension key: B streams, clips or windows, S sink frames or samples, s frames
of a latent, Y X picture, h w C latent frame.
"""

import dataclasses
import types

import jax
import jax.numpy as jnp

from eartalk_jax.aot.compiling import Compiled, alone, bytes_of, compiled
from eartalk_jax.denoising.guidance import NO_GUIDANCE
from eartalk_jax.models.signals import Signals
from eartalk_jax.scaling import traced
from eartalk_jax.speech.encoding import TOGETHER, exact
from eartalk_jax.speech.pretrained import samples_of
from eartalk_jax.streaming import programs
from eartalk_jax.tokenizers import remembers_nothing

_PICTURES = 8  # in a call


@dataclasses.dataclass(frozen=True)
class Step:
  """A compiled step of encoders.

  Attributes:
    compiled: Compiled.
    frames: of video, in a call.
    flops: of the encoders' products in a call, each once.
    states: {part: bytes of one stream's state}.
  """

  compiled: Compiled
  frames: int
  flops: float
  states: dict[str, int]


def stream_step(recipe, cfg, tokenizer, topology, streams):
  """The step that makes a latent of some streams and decodes it.

  Args:
    recipe: Recipe.
    cfg: TalkerConfig.
    tokenizer: Tokenizer; its parameters may be shapes.
    topology: Topology.
    streams: how many.

  Returns:
    Step.
  """
  mesh, put = alone(topology)
  model = recipe.model(cfg)
  generator = types.SimpleNamespace(
    recipe=recipe, model=model, tokenizer=tokenizer
  )
  begin, step = programs.make_begin(generator), programs.make_step(generator)

  def opened(decoder):
    weights = recipe.prepare(recipe.init_params(model)(jax.random.key(0)))
    state = begin(
      weights,
      decoder,
      jnp.zeros((streams, *tokenizer.picture_shape, 3), jnp.uint8),
      jnp.zeros((streams, cfg.sinks, *cfg.latent_shape)),
      jnp.zeros(streams, jnp.uint32),
      Signals.blank(cfg, (streams,), hears=False),
    )
    return weights, state

  decoder = _shapes(tokenizer.params)
  weights, state = jax.eval_shape(opened, decoder)
  weights, decoder, state = map(put, (weights, decoder, state))
  signals = put(Signals.blank(cfg, (streams, 1 + recipe.AHEAD)))
  one_B = put(jax.ShapeDtypeStruct((streams,), bool))
  given = signals, NO_GUIDANCE, one_B, one_B, one_B
  program = step.trace(weights, decoder, state, *given)
  held = weights, decoder, state
  done = compiled(program, held, given, (weights, decoder), mesh, topology)
  latent_BhwC = jax.ShapeDtypeStruct(
    (streams, *tokenizer.latent_shape), jnp.float32
  )
  names = "talker", "decoder"
  return Step(
    done,
    streams * tokenizer.stride,
    traced.flops(tokenizer.decode_step, decoder, state[1], latent_BhwC),
    {
      name: bytes_of(part) // streams
      for name, part in zip(names, state, strict=True)
    },
  )


def encode_step(tokenizer, topology):
  """The step that encodes the next frames of clips, as Step.

  As many clips as `launch.tokenize` has in a call: one of a network over time,
  many of pictures.
  """
  clips = _PICTURES if remembers_nothing(tokenizer) else 1
  mesh, put = alone(topology)
  pictures_BYX3 = _pictures(clips, *tokenizer.picture_shape)
  frames_BsYX3 = _pictures(clips, tokenizer.stride, *tokenizer.picture_shape)
  params = put(_shapes(tokenizer.params))
  state, _ = jax.eval_shape(tokenizer.init_encode, params, _unit(pictures_BYX3))

  def encode(params, state, frames_BsYX3):
    frames_BsYX3 = frames_BsYX3.astype(jnp.float32) / 255
    return tokenizer.encode_step(params, state, frames_BsYX3)

  held = params, put(state)
  given = put(frames_BsYX3)
  return Step(
    compiled(
      jax.jit(encode).trace(*held, given), held, given, params, mesh, topology
    ),
    clips * tokenizer.stride,
    traced.flops(encode, *held, given),
    {"encoder": bytes_of(held[1]) // clips},
  )


def speech_step(speech, topology):
  """The call that makes features of some windows, as Step."""
  mesh, put = alone(topology)
  shape = TOGETHER, samples_of(speech)
  samples_BS = put(jax.ShapeDtypeStruct(shape, jnp.float32))
  params = put(_shapes(speech.params))
  program = jax.jit(exact(speech)).trace(params, samples_BS)
  return Step(
    compiled(program, params, samples_BS, params, mesh, topology),
    TOGETHER * speech.step,
    traced.flops(speech.apply, params, samples_BS),
    {},
  )


def _shapes(tree):
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree
  )


def _pictures(*shape):
  return jax.ShapeDtypeStruct((*shape, 3), jnp.uint8)


def _unit(pictures):
  return jax.ShapeDtypeStruct(pictures.shape, jnp.float32)
