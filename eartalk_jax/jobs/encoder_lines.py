"""What an encoder is and costs, as lines of text."""

import math

from eartalk_jax.scaling.encoders import speech_flops, tokenizer_costs
from eartalk_jax.spans import FPS, SAMPLE_RATE


def of_tokenizer(tokenizer):
  """Yields lines about a Tokenizer at its size."""
  costs = tokenizer_costs(tokenizer)
  (y, x), (h, w, channels) = tokenizer.picture_shape, tokenizer.latent_shape
  frames = f"{tokenizer.stride} frames" if tokenizer.stride > 1 else "a frame"
  late = f", decoded {tokenizer.delay} latent late" if tokenizer.delay else ""
  yield f"{_told(costs.parameters)} parameters"
  yield (
    f"a latent is {frames} of {y} x {x} pixels: {h} x {w} x {channels} numbers"
    + late
  )
  yield (
    f"a frame takes {_told(costs.encode_per_frame)}FLOP to encode, "
    f"{_told(costs.decode_per_frame)}FLOP to decode: at {FPS} frames a second "
    f"{_told(FPS * costs.decode_per_frame)}FLOP/s"
  )
  yield (
    f"a stream's state is {_told(costs.decode_state)}B to decode, "
    f"{_told(costs.encode_state)}B to encode"
  )


def of_speech(speech):
  """Yields lines about a Speech that is a network."""
  flops, (vectors, numbers) = speech_flops(speech), speech.shape
  around = (speech.before + speech.after) / SAMPLE_RATE
  late = speech.after / SAMPLE_RATE + (speech.step - 1) / FPS
  parameters = sum(math.prod(x.shape) for x in speech.params.values())
  yield f"{_told(parameters)} parameters"
  yield (
    f"a frame is {vectors} vectors of {numbers} numbers; {speech.step} frames "
    f"are made at a time, with {around:.2f} s around them"
  )
  yield (
    f"a frame takes {_told(flops)}FLOP: at {FPS} frames a second "
    f"{_told(FPS * flops)}FLOP/s; features come at most {1e3 * late:.0f} ms "
    "late"
  )


def _told(number):
  """A number with the letter of its thousands: 1.23 G."""
  letters = ("", "k", "M", "G", "T", "P")
  power = 0
  while number >= 1000 and power < len(letters) - 1:
    number, power = number / 1000, power + 1
  return f"{number:.3g} {letters[power]}"
