"""Dense layers whose gradients are summed over rows.

The gradient of a kernel is a sum over all leading axes. Over several of them
XLA's CPU backend first writes a transposed copy of what it sums, over one it
reads it as it lies: a train step takes a fifth less. Only there, since
joining axes costs a copy on a TPU, whose tiles they do not fill, and a gather
where a mesh splits more than one of them.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
from jax import lax


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def product(x, kernel, dimension_numbers, precision=None):
  """`lax.dot_general` of the last axes of `x` and the first of a kernel."""
  return lax.dot_general(x, kernel, dimension_numbers, precision)


def _forward(x, kernel, *how):
  # Nobody asks for the gradient of a layer's input if that is data. Said by
  # the residuals' structure, which is known while a program is traced.
  asked = () if x.perturbed else None
  x, kernel = x.value, kernel.value
  return product(x, kernel, *how), (x, kernel, asked)


def _backward(dimension_numbers, precision, operands, gradient):
  x, kernel, asked = operands

  def multiply(x, kernel):
    return lax.dot_general(x, kernel, dimension_numbers, precision)

  def plain(x, gradient):
    to_kernel = jax.linear_transpose(functools.partial(multiply, x), kernel)
    return to_kernel(gradient)[0]

  def by_rows(x, gradient):
    summed = len(dimension_numbers[0][1])
    rows = x.reshape(-1, math.prod(kernel.shape[:summed]))
    gradient = gradient.reshape(len(rows), -1)
    return lax.dot(rows.T, gradient, precision=precision).reshape(kernel.shape)

  to_x = None
  if asked is not None:
    (to_x,) = jax.linear_transpose(lambda x: multiply(x, kernel), x)(gradient)
  if jax.sharding.get_abstract_mesh().size > 1:
    return to_x, plain(x, gradient)
  return to_x, lax.platform_dependent(x, gradient, cpu=by_rows, default=plain)


product.defvjp(_forward, _backward, symbolic_zeros=True)


class Dense(nn.Dense):
  """Flax's, but for the gradient of its kernel."""

  dot_general: Callable = product


class DenseGeneral(nn.DenseGeneral):
  """Flax's, but for the gradient of its kernel."""

  dot_general: Callable = product
