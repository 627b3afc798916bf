"""Numbers and arrays that somebody gave: of the right kind, within bounds."""

import numbers

import numpy as np

from eartalk_jax.errors import UserError

LAST_SEED = 2**32 - 1


def integer(value, what, low, high):
  """`value` as an int from `low` to `high`, both included.

  Numpy's integers are taken; booleans, floats and text are not.

  Args:
    value: what was given.
    what: its name, for the message.
    low, high: the bounds; None is none.

  Raises:
    UserError: it is another thing, or out of the bounds.
  """
  right = isinstance(value, numbers.Integral) and not isinstance(value, bool)
  if not (right and _within(value, low, high)):
    _refuse(value, what, "whole number", low, high)
  return int(value)


def number(value, what, low, high):
  """`value` as a float from `low` to `high`, both included; see `integer`."""
  right = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if not (right and _within(value, low, high)):
    _refuse(value, what, "finite number", low, high)
  return float(value)


def seed(value):
  """`value` as the seed of a stream; UserError if it is none."""
  return integer(value, "seed", 0, LAST_SEED)


def array(value, what, dtype, *shape):
  """`value`, if it is an array of that type and shape; None is any length.

  Raises:
    UserError: it is another one, or none.
  """
  fits = isinstance(value, np.ndarray) and value.dtype == dtype
  if not (fits and len(value.shape) == len(shape)) or any(
    wanted not in (None, length)
    for wanted, length in zip(shape, value.shape, strict=True)
  ):
    raise UserError(
      f"{what}: {shown(value)}: {np.dtype(dtype)}{list(shape)} is needed"
    )
  return value


def shown(value):
  """A value as a short piece of one line, whatever it is."""
  try:
    text = " ".join(repr(value).split())
  except (ValueError, RecursionError):  # thousands of digits, or of brackets
    return f"this {type(value).__name__}"
  return text if len(text) <= 40 else f"{text[:40]}..."


def _within(value, low, high):
  # NaN is within nothing; integers of any length can be compared.
  return (low is None or low <= value) and (high is None or value <= high)


def _refuse(value, what, kind, low, high):
  limits = "".join(
    f" {word} {limit}"
    for word, limit in (("from", low), ("to", high))
    if limit is not None
  )
  raise UserError(f"{what} = {shown(value)}: give a {kind}{limits}")
