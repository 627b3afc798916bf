"""Convolutions over pictures and videos, in each machine's fast form.

XLA computes a convolution over time and space slowly on a CPU. There it is a
sum of convolutions over space, one for each frame that a kernel reaches; other
machines get the operation itself (`benchmarks.convolutions`). Nobody else
chooses between the two.

Time is never padded here: who calls puts the past before the frames, since
what the past is, zeros, a frame repeated or a stream's last ones, is what
distinguishes the networks.

Dimension key: B batch, T frames, Y X rows and columns, I inputs, O outputs, t y
x of a kernel.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from eartalk_jax.layers.basic import lift


def conv2d(x_BYXI, kernel_yxIO, stride=1, pad=((0, 0), (0, 0)), groups=1):
  """[B Y X I] -> [B Y' X' O], by zeros outside.

  Args:
    x_BYXI: pictures.
    kernel_yxIO: I is that of one group.
    stride: of rows and columns.
    pad: zeros ((above, below), (left, right)).
    groups: in which channels stay apart.
  """
  return lax.conv_general_dilated(
    x_BYXI,
    kernel_yxIO,
    (stride, stride),
    pad,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=groups,
  )


def conv1d(x_BTI, kernel_tIO, stride=1, pad=(0, 0), groups=1):
  """[B T I] -> [B T' O]: `conv2d` of a single row.

  Args:
    x_BTI: sequences.
    kernel_tIO: I is that of one group.
    stride: of places.
    pad: zeros (before, after).
    groups: in which channels stay apart.
  """
  pad = ((0, 0), pad)
  return conv2d(x_BTI[:, None], kernel_tIO[None], stride, pad, groups)[:, 0]


def conv3d(x_BTYXI, kernel_tyxIO, strides=(1, 1), pad=((0, 0), (0, 0))):
  """[B T Y X I] -> [B T' Y' X' O], T' = (T - t) // stride + 1.

  Args:
    x_BTYXI: videos, the past of the first output before all others.
    kernel_tyxIO: weights, the oldest frame's first.
    strides: of frames, and of rows and columns.
    pad: zeros ((above, below), (left, right)).
  """
  if kernel_tyxIO.shape[0] == 1:  # nothing to choose
    return summed(x_BTYXI, kernel_tyxIO, strides, pad)
  settings = {"strides": strides, "pad": pad}
  return lax.platform_dependent(
    x_BTYXI,
    kernel_tyxIO,
    cpu=functools.partial(summed, **settings),
    default=functools.partial(plain, **settings),
  )


def plain(x_BTYXI, kernel_tyxIO, strides, pad):
  """`conv3d` as XLA has it."""
  return lax.conv_general_dilated(
    x_BTYXI,
    kernel_tyxIO,
    (strides[0], strides[1], strides[1]),
    ((0, 0), *pad),
    dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
  )


def summed(x_BTYXI, kernel_tyxIO, strides, pad):
  """`conv3d` over space alone, one frame of the kernel after the other."""
  reach, (step, stride) = kernel_tyxIO.shape[0], strides
  batch, frames = x_BTYXI.shape[:2]
  made = (frames - reach) // step + 1
  out = None
  for index in range(reach):
    stop = index + (made - 1) * step + 1
    part = x_BTYXI[:, index:stop:step].reshape(-1, *x_BTYXI.shape[2:])
    part = conv2d(part, kernel_tyxIO[index], stride, pad)
    out = part if out is None else out + part
  return out.reshape(batch, made, *out.shape[1:])


class Conv1d(nn.Module):
  """`conv1d` with its weights: [B T I] -> [B T' O].

  Attributes:
    features: O.
    size: places of the kernel.
    stride, pad: see `conv1d`.
    use_bias: whether outputs have one.
  """

  features: int
  size: int
  stride: int = 1
  pad: tuple[int, int] = (0, 0)
  use_bias: bool = True

  @nn.compact
  def __call__(self, x_BTI):
    kernel_tIO = _kernel(self, (self.size, x_BTI.shape[-1], self.features))
    return _with_bias(self, conv1d(x_BTI, kernel_tIO, self.stride, self.pad))


class Conv2d(nn.Module):
  """`conv2d` with its weights: [B Y X I] -> [B Y' X' O].

  Attributes:
    features: O.
    size: rows and columns of the kernel.
    stride, pad, groups: see `conv2d`.
    use_bias: whether outputs have one.
  """

  features: int
  size: int = 3
  stride: int = 1
  pad: tuple = ((1, 1), (1, 1))
  groups: int = 1
  use_bias: bool = True

  @nn.compact
  def __call__(self, x_BYXI):
    shape = (self.size, self.size, x_BYXI.shape[-1] // self.groups)
    kernel_yxIO = _kernel(self, (*shape, self.features))
    out = conv2d(x_BYXI, kernel_yxIO, self.stride, self.pad, self.groups)
    return _with_bias(self, out)


class Conv3d(nn.Module):
  """`conv3d` with its weights: [B T Y X I] -> [B T' Y' X' O].

  Attributes:
    features: O.
    size: frames, rows and columns of the kernel.
    strides, pad: see `conv3d`.
    use_bias: whether outputs have one.
  """

  features: int
  size: tuple[int, int, int] = (3, 3, 3)
  strides: tuple[int, int] = (1, 1)
  pad: tuple = ((1, 1), (1, 1))
  use_bias: bool = True

  @nn.compact
  def __call__(self, x_BTYXI):
    kernel = _kernel(self, (*self.size, x_BTYXI.shape[-1], self.features))
    return _with_bias(self, conv3d(x_BTYXI, kernel, self.strides, self.pad))


def _kernel(module, shape):
  return module.param("kernel", nn.initializers.lecun_normal(), shape)


def _with_bias(module, out):
  if not module.use_bias:
    return out
  zeros = nn.initializers.zeros_init()
  bias_O = module.param("bias", zeros, (module.features,))
  return out + lift(bias_O, out.ndim)


def doubled(x_YXC):
  """[..., Y X C] -> [..., 2Y 2X C]: each place becomes four."""
  return jnp.repeat(jnp.repeat(x_YXC, 2, axis=-3), 2, axis=-2)
