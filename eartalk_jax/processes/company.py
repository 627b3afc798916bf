"""The other processes of a run, as far as its end is concerned.

notice      why all have to end: the first that was told writes it
failed      the same, when an error comes after a notice
position/P  the step after which process P heard of it
left/P      process P has nothing more to say
"""

import json
import socket
import time

from eartalk_jax.processes.distributed import Board
from eartalk_jax.processes.guests import name_of

# Positions of a process that is in no training step.
BEFORE, AFTER = -1, -2
# Seconds that the others have to say where they are, and to leave.
_ANSWER = 20.0
_LINGER = 10.0
# Without the board JAX aborts whoever has said good-bye and is not quite gone.
_GAP = 0.5


class Company:
  """What processes tell each other by the coordinator's board."""

  def __init__(self):
    self._board = Board("end")
    self._mine, self._count = self._board.process, self._board.processes

  def announce(self, **notice):
    """Tells all, this process included, why they have to end."""
    by = name_of(self._mine, socket.gethostname())
    self._board.put("notice", json.dumps(notice | {"by": by}))

  def fail(self, message, status):
    """Tells all that this process ends by an error."""
    self.announce(failed=message, status=status)
    by = name_of(self._mine, socket.gethostname())
    told = {"failed": message, "status": status, "by": by}
    self._board.put("failed", json.dumps(told))

  def look(self, name):
    """The notice, or the failure, if there is any: a dictionary or None."""
    text = self._board.look(name)
    return None if text is None else json.loads(text)

  def positions(self):
    """Positions of all processes; those that do not answer are missing."""
    end = time.monotonic() + _ANSWER
    texts = [
      self._board.get(f"position/{p}", end - time.monotonic())
      for p in range(self._count)
    ]
    return [int(text) for text in texts if text is not None]

  def tell_position(self, mine):
    """Answers, perhaps before anybody asks; only the first answer counts."""
    self._board.put(f"position/{self._mine}", str(mine))

  def leave(self):
    """Says good-bye; process 0, which holds the board, waits for the others."""
    self._board.put(f"left/{self._mine}", "")
    if self._mine:
      return
    end = time.monotonic() + _LINGER
    for process in range(1, self._count):
      self._board.get(f"left/{process}", end - time.monotonic())
    time.sleep(_GAP)
