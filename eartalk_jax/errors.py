"""The one exception that a user, rather than a developer, is meant to read."""


class UserError(Exception):
  """Something outside the program is wrong: a file, a flag, a checkpoint.

  The message names the thing and says what to do about it. Commands print it
  as one line and exit with status 2; it never comes with a traceback.
  """
