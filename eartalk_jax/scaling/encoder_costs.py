"""What a tokenizer and a speech encoder cost, told from shapes alone.

Dimension key: B clips, s frames of a latent, S samples, Y X picture, h w latent
grid, C channels.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.scaling.traced import flops
from eartalk_jax.spans import FPS, FRAME_SAMPLES


@dataclasses.dataclass(frozen=True)
class TokenizerCosts:
  """Of one clip or stream of a Tokenizer.

  Attributes:
    parameters: numbers in all weights.
    encode, decode: FLOPs for a video frame, of the steps that a stream takes.
    encode_state, decode_state: bytes of a stream's state.
  """

  parameters: int
  encode: float
  decode: float
  encode_state: int
  decode_state: int


@dataclasses.dataclass(frozen=True)
class SpeechCosts:
  """Of a Speech.

  Attributes:
    parameters: numbers in all weights.
    flops: for a video frame, by the windows that a stream takes.
  """

  parameters: int
  flops: float


def tokenizer_costs(tokenizer):
  """TokenizerCosts of a Tokenizer at its size; weights may be shapes."""
  params = _shapes(tokenizer.params)
  picture_1YX3 = _floats(1, *tokenizer.picture_shape, 3)
  frames_1sYX3 = _floats(1, tokenizer.stride, *tokenizer.picture_shape, 3)
  latent_1hwC = _floats(1, *tokenizer.latent_shape)
  encoding, _ = jax.eval_shape(tokenizer.init_encode, params, picture_1YX3)
  decoding = jax.eval_shape(
    tokenizer.init_decode, params, picture_1YX3, latent_1hwC
  )
  encode = flops(tokenizer.encode_step, params, encoding, frames_1sYX3)
  decode = flops(tokenizer.decode_step, params, decoding, latent_1hwC)
  return TokenizerCosts(
    _numbers(params),
    encode / tokenizer.stride,
    decode / tokenizer.stride,
    _bytes(encoding),
    _bytes(decoding),
  )


def speech_costs(speech):
  """SpeechCosts of a Speech that is a network; weights may be shapes."""
  params = _shapes(speech.params)
  size = speech.before + speech.step * FRAME_SAMPLES + speech.after
  window = flops(speech.apply, params, _floats(1, size))
  return SpeechCosts(_numbers(params), window / speech.step)


def told_of_tokenizer(tokenizer):
  """Lines of text about a tokenizer and its costs."""
  costs = tokenizer_costs(tokenizer)
  (y, x), (h, w, channels) = tokenizer.picture_shape, tokenizer.latent_shape
  frames = f"{tokenizer.stride} frames" if tokenizer.stride > 1 else "a frame"
  yield f"{costs.parameters / 1e6:.1f} M parameters"
  yield (
    f"a latent is {frames} of {y} x {x} pixels: {h} x {w} x {channels} numbers"
    + (f", decoded {tokenizer.delay} latent late" if tokenizer.delay else "")
  )
  yield (
    f"a frame takes {_told(costs.encode)}FLOP to encode, "
    f"{_told(costs.decode)}FLOP to decode: at {FPS} frames a second "
    f"{_told(FPS * costs.decode)}FLOP/s"
  )
  yield (
    f"a stream's state is {_told(costs.decode_state)}B to decode, "
    f"{_told(costs.encode_state)}B to encode"
  )


def told_of_speech(speech):
  """Lines of text about a speech encoder and its costs."""
  costs = speech_costs(speech)
  vectors, numbers = speech.shape
  seconds = (speech.before + speech.after) / (FPS * FRAME_SAMPLES)
  late = speech.after / (FPS * FRAME_SAMPLES) + (speech.step - 1) / FPS
  yield f"{costs.parameters / 1e6:.1f} M parameters"
  yield (
    f"a frame is {vectors} vectors of {numbers} numbers; {speech.step} frames "
    f"are made at a time, with {seconds:.2f} s around them"
  )
  yield (
    f"a frame takes {_told(costs.flops)}FLOP: at {FPS} frames a second "
    f"{_told(FPS * costs.flops)}FLOP/s; features come at most "
    f"{1e3 * late:.0f} ms late"
  )


def _told(number):
  """A number with the letter of its thousands: 1.23 G."""
  letters = ("", "k", "M", "G", "T", "P")
  power = 0
  while number >= 1000 and power < len(letters) - 1:
    number, power = number / 1000, power + 1
  return f"{number:.3g} {letters[power]}"


def _floats(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def _shapes(tree):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(np.shape(x), jnp.float32), tree
  )


def _numbers(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _bytes(tree):
  leaves = jax.tree.leaves(tree)
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
