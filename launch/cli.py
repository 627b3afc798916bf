"""How every command ends: 0 done, 2 user error, 130 interrupted."""

import sys

from eartalk_jax.errors import UserError


def run(main):
  """Calls `main()`; turns UserError into one line on stderr and status 2."""
  try:
    status = main()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    status = 2
  except KeyboardInterrupt:
    print("interrupted; run the same command to continue", file=sys.stderr)
    status = 130
  sys.exit(status)
