"""The one exception that a user, rather than a developer, is meant to read."""


class UserError(Exception):
  """Something outside the program is wrong: a file, a flag, a checkpoint.

  The message names the thing and says what to do about it. Commands print it
  as one line and exit with status 2; it never comes with a traceback.
  """


def one_line(message, most=2000):
  """A message on one line of what can be printed, and of bounded length."""
  line = " ".join(part.strip() for part in str(message).splitlines()).strip()
  shown = "".join(
    letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line
  )
  return shown if len(shown) <= most else f"{shown[:most]}..."
