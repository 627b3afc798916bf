"""Ports for the processes of a test."""

import contextlib
import random
import socket


def free_port():
  """A port that nobody has, of those not lent to whoever connects meanwhile."""
  while True:
    port = random.SystemRandom().randrange(20_000, 32_000)
    with socket.socket() as free, contextlib.suppress(OSError):
      free.bind(("", port))
      return port
