"""The decoder of `ltx`: every convolution sees one frame before and one after.

Before the first frame that one is repeated, after the last the last. A window
of latents may hold the beginning of a clip somewhere in its middle: `start_B`
counts what lies before it, and each convolution then sees the first frame
repeated there. What comes after the beginning is exactly what a shorter window
gives, so one compiled function serves the beginning of a clip and the rest.

The way up makes frames 2i - 1 and 2i of frame i, and of frame 0 only the
latter: a beginning at i is one at 2i above.

Dimension key: B clips, T frames, t latents, s = stride, Y X rows and columns, h
w latent grid, C channels, 4 shift and scale of both norms of a block.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.layers.basic import lift, modulate
from eartalk_jax.layers.convolutions import Conv3d
from eartalk_jax.tokenizers.ltx.config import PATCH
from eartalk_jax.tokenizers.ltx.layers import (
  beside,
  pixel_norm,
  pixels,
  spread,
)

_RATES = 128


class CentredConv(nn.Module):
  """3 x 3 x 3 convolution: [B T Y X C] -> [B T Y X features]."""

  features: int

  @nn.compact
  def __call__(self, x_BTYXC, start_B):
    x = begun(x_BTYXC, start_B)
    x = jnp.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
    return Conv3d(self.features, name="conv")(x)


def begun(x_BTYXC, start_B):
  """The same with frame `start_B` in place of all frames before it."""
  if start_B is None:
    return x_BTYXC
  start_B1111 = start_B[:, None, None, None, None]
  first_B1YXC = jnp.take_along_axis(x_BTYXC, start_B1111, axis=1)
  frames = lift(jnp.arange(x_BTYXC.shape[1])[:, None, None, None], 5)
  return jnp.where(frames < start_B1111, first_B1YXC, x_BTYXC)


class Residual(nn.Module):
  """Two convolutions beside the input: [B T Y X C] -> [B T Y X features].

  Attributes:
    features: channels.
    timed: whether shifts and scales are added to its norms.
    fields: numbers of the two fields of noise that are added, or ().
  """

  features: int
  timed: bool = False
  fields: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, x_BTYXC, time_4C, start_B):
    changes = ((None, None),) * 2
    if self.timed:
      table_4C = _table(self, 4, self.features) + time_4C
      changes = table_4C[:2], table_4C[2:]
    y = x_BTYXC
    for index, (shift_C, scale_C) in enumerate(changes):
      y = _modulated(pixel_norm(y), shift_C, scale_C)
      conv = CentredConv(self.features, name=f"conv{index + 1}")
      y = conv(nn.silu(y), start_B)
      if self.fields:
        zeros, name = (
          nn.initializers.zeros_init(),
          f"per_channel_scale{index + 1}",
        )
        scale_C = self.param(name, zeros, (self.features,))
        y += lift(
          field(self.fields[index], *y.shape[2:4]) * lift(scale_C, 3), 5
        )
    return y + beside(x_BTYXC, self.features)


def field(number, rows, columns):
  """Noise that is the same in all clips, frames and channels: [Y X 1].

  Fixed by its number and size, so that decoding is a function of the latents
  and a clip sees the same noise from its first step to its last.
  """
  key = jax.random.fold_in(jax.random.key(0), number)
  return jax.random.normal(key, (rows, columns, 1))


def _table(module, rows, features):
  normal = nn.initializers.normal(features**-0.5)
  return module.param("scale_shift_table", normal, (rows, features))


def _modulated(x_BTYXC, shift_C, scale_C):
  if shift_C is None:
    return x_BTYXC
  return modulate(x_BTYXC, lift(shift_C, 5), lift(scale_C, 5))


class TimestepEmbedder(nn.Module):
  """Two layers over sinusoids of a number: [] -> [features]."""

  features: int

  @nn.compact
  def __call__(self, time):
    rates = np.exp(-math.log(10_000) * np.arange(_RATES) / _RATES)
    angles = time * jnp.asarray(rates, jnp.float32)
    waves = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])
    hidden = nn.silu(nn.Dense(self.features, name="linear_1")(waves))
    return nn.Dense(self.features, name="linear_2")(hidden)


class TimeEmbedder(nn.Module):
  """Shifts and scales for a time: [] -> [rows, features]."""

  rows: int
  features: int

  @nn.compact
  def __call__(self, time):
    width = self.rows * self.features
    numbers = TimestepEmbedder(width, name="timestep_embedder")(time)
    return numbers.reshape(self.rows, self.features)


class Doubled(nn.Module):
  """[B T Y X C] -> [B 2T-1 2Y 2X C/factor]."""

  residual: bool
  factor: int

  @nn.compact
  def __call__(self, x_BTYXC, start_B):
    width = x_BTYXC.shape[-1] * 8 // self.factor
    y = spread(CentredConv(width, name="conv")(x_BTYXC, start_B))
    if self.residual:
      beside = spread(x_BTYXC)
      y += jnp.tile(beside, (1, 1, 1, 1, 8 // self.factor))
    return y[:, 1:]


class Block(nn.Module):
  """The way up, if any, then residual blocks.

  Attributes:
    up: a `config.Up`.
    timed: whether they are told a time.
    field: number of the first field of noise.
  """

  up: "Up"  # noqa: F821, of `config`
  timed: bool
  field: int

  @nn.compact
  def __call__(self, x_BTYXC, time, start_B):
    """Returns (frames, the beginning among them)."""
    u = self.up
    time_4C = None
    if self.timed:
      time_4C = TimeEmbedder(4, u.features, name="time_embedder")(time)
    if u.widens:
      block = Residual(u.features, name="conv_in")
      x_BTYXC = block(x_BTYXC, None, start_B)
    if u.doubles:
      up = Doubled(u.residual, u.factor, name="upsamplers_0")
      x_BTYXC = up(x_BTYXC, start_B)
      start_B = None if start_B is None else 2 * start_B
    for index in range(u.layers):
      first = self.field + 2 * index
      fields = (first, first + 1) if u.noisy else ()
      name = f"resnets_{index}"
      block = Residual(u.features, self.timed, fields, name=name)
      x_BTYXC = block(x_BTYXC, time_4C, start_B)
    return x_BTYXC, start_B


class Decoder(nn.Module):
  """[B 1+k h w C] -> [B 1+ks Y X 3], about in [-1, 1]."""

  config: "Config"  # noqa: F821, of `config`

  @nn.compact
  def __call__(self, x_BthwC, start_B=None):
    c, timed = self.config, self.config.timestep_conditioning
    time = None
    if timed:
      thousand = nn.initializers.constant(1000.0)
      multiplier = self.param("timestep_scale_multiplier", thousand, ())
      time = c.decode_timestep * multiplier
    width = c.decoder_block_out_channels[-1]
    x = CentredConv(width, name="conv_in")(x_BthwC, start_B)
    count = 0
    for name, up in self._blocks():
      x, start_B = Block(up, timed, count, name=name)(x, time, start_B)
      count += 2 * up.layers * up.noisy
    x, width = pixel_norm(x), x.shape[-1]
    if timed:
      table_2C = _table(self, 2, width)
      table_2C += TimeEmbedder(2, width, name="time_embedder")(time)
      x = _modulated(x, *table_2C)
    x = CentredConv(3 * PATCH**2, name="conv_out")(nn.silu(x), start_B)
    return pixels(x, PATCH)

  def _blocks(self):
    """(name, Up), the middle first, which is a block without a way up."""
    yield "mid_block", self.config.middle
    for index, up in enumerate(self.config.ups):
      yield f"up_blocks_{index}", up
