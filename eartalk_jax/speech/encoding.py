"""Windows of samples through an encoder: where it is compiled.

A network gives a pure `apply`, which is compiled here, once for each encoder
and number of rows. Clips, files and streams all come here, so that what is
trained on and what is heard live are the same numbers:

  on a CPU   one row in a call: it keeps all cores busy, and the bits of a
             window depend on no other one, nor on how many there are
  elsewhere  a fixed number of rows in a call; those that are missing are
             silence, so one program serves. Other numbers of rows round
             otherwise, in the last bits

Dimension key: B rows, S samples, t frames, A vectors in a frame, F numbers in a
vector.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# Windows of a clip or file that are computed together.
TOGETHER = 8


def encode(speech, windows, rows=TOGETHER):
  """The features of windows.

  Args:
    speech: Speech.
    windows: a list of samples [S]; of one length, unless its `step` is None.
    rows: of a call, where rows are computed together.

  Returns:
    A list of float32 [t A F].
  """
  if speech.step is None:
    found = [speech.apply(speech.params, part_S[None]) for part_S in windows]
    return [np.asarray(found_1tAF[0], np.float32) for found_1tAF in found]
  rows, run = (1 if one_by_one() else rows), compiled(speech)
  found = []
  for first in range(0, len(windows), rows):
    part_BS = np.stack(windows[first : first + rows])
    missing = rows - len(part_BS)
    found_BtAF = run(np.pad(part_BS, ((0, missing), (0, 0))))
    found += list(np.asarray(found_BtAF, np.float32)[: len(part_BS)])
  return found


def one_by_one():
  """Whether rows are computed in calls of their own."""
  return jax.default_backend() == "cpu"


@functools.lru_cache(maxsize=2)
def compiled(speech):
  """Compiled: windows float32 [B S] -> features [B t A F].

  The weights are on the device once, not once a call.
  """
  params = jax.tree.map(jnp.asarray, speech.params)
  return functools.partial(jax.jit(exact(speech)), params)


def exact(speech):
  """(params, windows_BS) -> features_BtAF, by products of float32.

  What one machine has stored is what another one must hear.
  """

  def run(params, windows_BS):
    with jax.default_matmul_precision("float32"):
      return speech.apply(params, windows_BS)

  return run
