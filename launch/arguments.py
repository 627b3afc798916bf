"""Options of a command line: their numbers are checked, mistakes are a line."""

import argparse
import math

from eartalk_jax.errors import UserError

# How a usage says that commands are called; that of `eartalk` says another.
called = "python -m launch."


class Parser(argparse.ArgumentParser):
  """An argument parser whose complaint is a UserError.

  Args:
    command: its name below `launch`.
    description: what the command does.
    epilog: examples and what else should be known, printed as it is written.
    prog: instead of `command`; argparse says it of a command's commands.
  """

  def __init__(self, command="", description=None, epilog=None, prog=None):
    super().__init__(
      prog=prog or f"{called}{command}",
      description=description,
      epilog=epilog,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )

  def error(self, message):
    """Raises instead of printing the usage: the command ends with a line."""
    raise UserError(f"{message}; see --help")


def integer(low=None, high=None):
  """An option's type: a whole number from `low` to `high`, both included."""
  return _checked(int, "whole number", low, high)


def number(low=None, high=None):
  """An option's type: a finite number from `low` to `high`, both included."""
  return _checked(float, "number", low, high)


def _checked(kind, name, low, high):
  limits = "".join(
    f" {word} {limit if isinstance(limit, int) else format(limit, 'g')}"
    for word, limit in (("from", low), ("to", high))
    if limit is not None
  )

  def parse(text):
    try:
      value = kind(text)
    except ValueError:
      value = math.nan
    if (
      not math.isfinite(value)
      or (low is not None and value < low)
      or (high is not None and value > high)
    ):
      shown = text if len(text) <= 40 else f"{text[:40]}..."
      raise argparse.ArgumentTypeError(f"{shown!r}: give a {name}{limits}")
    return value

  return parse
