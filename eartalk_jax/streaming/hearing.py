"""The speech of all streams, encoded in the same calls."""

from eartalk_jax.speech.encoding import encode


def hear_together(speech, movers, pulled, rows):
  """Encodes what the next step of some streams is told, and little more.

  A call has `rows` rows. Each stream that has less than a window's features
  left takes one of them, if its next window is complete, and the one that is
  pulled takes those that remain: it waits for all of its windows.

  Args:
    speech: Speech.
    movers: streams that take part in the next step.
    pulled: one of them.
    rows: of a call, one for each slot.
  """
  while not all(stream.told_steps for stream in movers):
    hungry = [stream for stream in movers if stream.hungry]
    spare = rows - len(hungry)
    windows = [
      stream.windows.next(1 + spare if stream is pulled else 1)
      for stream in hungry
    ]
    found = encode(speech, sum(windows, []), rows)
    for stream, own in zip(hungry, windows, strict=True):
      stream.hear(found[: len(own)])
      found = found[len(own) :]
