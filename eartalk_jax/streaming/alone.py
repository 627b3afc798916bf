"""One thread at a time."""

import functools


def alone(method):
  """A method that holds its object's `lock` for the whole of each call."""

  @functools.wraps(method)
  def holding(self, *args, **kwargs):
    with self.lock:
      return method(self, *args, **kwargs)

  return holding
