"""How every command ends.

0 done, 2 user error, 130 interrupted, 143 told to end by SIGTERM.
"""

import sys
import traceback

from eartalk_jax.errors import UserError
from eartalk_jax.processes.interruption import listening


def run(main):
  """Calls `main()`; turns UserError into one line on stderr and status 2."""
  with listening() as listener:
    try:
      status = main()
    except SystemExit as end:
      status = end.code
    except UserError as error:
      print(f"error: {error}", file=sys.stderr)
      status = 2
      listener.fail(str(error), status)
    except KeyboardInterrupt:
      print("interrupted; run the same command to continue", file=sys.stderr)
      status = 130
      listener.fail("interrupted", status)
    except Exception as error:
      traceback.print_exc()
      status = 1
      listener.fail(f"{type(error).__name__}: {error}", status)
    if status in (130, 143):
      listener.leave(status)
  sys.exit(status)
