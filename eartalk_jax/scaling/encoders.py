"""What encoders cost at their size: FLOPs of a video frame, bytes of a state.

Traced from shapes alone, in a few seconds and without weights: products and
convolutions, two FLOPs for each multiplication, every tap of a convolution.

Dimension key: S samples, s frames of a latent, Y X picture, h w C latent frame.
"""

import dataclasses

import jax
import jax.numpy as jnp

from eartalk_jax.scaling import traced
from eartalk_jax.speech.pretrained import samples_of


@dataclasses.dataclass(frozen=True)
class Costs:
  """Of a tokenizer, for one clip or stream.

  Attributes:
    encode_first: FLOPs of the first frame, or of a portrait.
    encode, decode: FLOPs of a later latent, which is `stride` frames.
    stride: frames of a latent.
    encode_state, decode_state: bytes that are remembered between latents.
    parameters: numbers of the weights.
  """

  encode_first: float
  encode: float
  decode: float
  stride: int
  encode_state: int
  decode_state: int
  parameters: int

  @property
  def encode_per_frame(self):
    """FLOPs for each video frame after the first."""
    return self.encode / self.stride

  @property
  def decode_per_frame(self):
    """FLOPs for each video frame after the first."""
    return self.decode / self.stride


def tokenizer_costs(tokenizer):
  """The Costs of a Tokenizer; its parameters may be shapes."""
  y, x = tokenizer.picture_shape
  params = tokenizer.params
  picture_1YX3 = jax.ShapeDtypeStruct((1, y, x, 3), jnp.float32)
  frames = 1, tokenizer.stride, y, x, 3
  frames_1sYX3 = jax.ShapeDtypeStruct(frames, jnp.float32)
  begun = params, picture_1YX3
  encoding, latent_1hwC = jax.eval_shape(tokenizer.init_encode, *begun)
  decoding = jax.eval_shape(tokenizer.init_decode, *begun, latent_1hwC)
  return Costs(
    traced.flops(tokenizer.init_encode, *begun),
    traced.flops(tokenizer.encode_step, params, encoding, frames_1sYX3),
    traced.flops(tokenizer.decode_step, params, decoding, latent_1hwC),
    tokenizer.stride,
    _bytes(encoding),
    _bytes(decoding),
    sum(leaf.size for leaf in jax.tree.leaves(params)),
  )


def speech_flops(speech):
  """FLOPs of a Speech for each video frame; 0 if it is no network.

  All of a window is computed for its few new frames, so that short steps cost
  much.
  """
  if speech.step is None:
    return 0.0
  window_1S = jax.ShapeDtypeStruct((1, samples_of(speech)), jnp.float32)
  return traced.flops(speech.apply, speech.params, window_1S) / speech.step


def _bytes(tree):
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
